// What bits_test.cpp and its cases share.
#pragma once

#include <cstring>

#include "arrays.h"

namespace fastnn::testing {

// One kernel at one number of threads: where its operands come from, and the hash of its results.
struct Run : Source {
  const char* kernel;
  int threads;
  uint64_t hash = 0xCBF29CE484222325;

  Run(const char* name, int count) : Source{42}, kernel(name), threads(count) {}

  Call call() const { return {kernel, threads}; }

  // FNV-1a, a word at a time. The sign and payload of NaN mean nothing.
  void keep(uint64_t word) { hash = (hash ^ word) * 0x100000001B3; }
  template <class T>
  void keep_elements(const T* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      uint64_t word = 0;
      std::memcpy(&word, from + i, sizeof(T));
      keep(from[i] == from[i] ? word : 0x7FF);
    }
  }
  void keep(const Array& array) {
    int64_t n = count_of(array.view);
    switch (array.view.dtype) {
      case f32: return keep_elements(array.as<float>(), n);
      case f64: return keep_elements(array.as<double>(), n);
      case i64: return keep_elements(array.as<int64_t>(), n);
      case i32: return keep_elements(array.as<int32_t>(), n);
      default: return keep_elements(array.as<uint8_t>(), n);
    }
  }
};

struct Case {
  const char* kernel;
  void (*run)(Run&);
};

// Every kernel of the contract.
std::vector<Case> kernel_cases();

}  // namespace fastnn::testing
