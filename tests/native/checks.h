// What the native tests share.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "arrays.h"

namespace {

using namespace fastnn;
using namespace fastnn::testing;

int failures = 0;

void check(bool fact, const char* text, int line) {
  if (fact) return;
  std::printf("line %d: not so: %s\n", line, text);
  ++failures;
}
#define CHECK(fact) check((fact), #fact, __LINE__)

inline View view(std::vector<float>& data, std::vector<int64_t> shape) {
  return contiguous_view(reinterpret_cast<std::byte*>(data.data()), DType::float32, static_cast<int>(shape.size()),
                         shape.data());
}

template <class Error>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

int report() {
  std::printf("%s: kernels %s, %d failed\n", failures ? "FAILED" : "passed", kernels().isa, failures);
  return failures ? 1 : 0;
}

}  // namespace
