// Errors that become Python exceptions of the same name. A message starts with the operation: "[matmul] a is ...".
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

#include "array/view.h"

namespace fastnn {

struct ValueError : std::runtime_error {
  using runtime_error::runtime_error;
};
struct TypeError : std::runtime_error {
  using runtime_error::runtime_error;
};
struct IndexError : std::runtime_error {
  using runtime_error::runtime_error;
};
// Of a device: it is not there, or what it was asked to do went wrong.
struct DeviceError : std::runtime_error {
  using runtime_error::runtime_error;
};

// A shape as Python prints it: (), (3,), (3, 4).
struct ShapeOf {
  const int64_t* shape;
  int rank;
  explicit ShapeOf(const View& view) : shape(view.shape), rank(view.rank) {}
  ShapeOf(const int64_t* s, int r) : shape(s), rank(r) {}
};

inline std::ostream& operator<<(std::ostream& out, const ShapeOf& of) {
  out << '(';
  for (int i = 0; i < of.rank; ++i) out << (i ? ", " : "") << of.shape[i];
  return out << (of.rank == 1 ? ",)" : ")");
}

// raise<ValueError>("matmul", "a is ", ShapeOf(a), " but ...")
template <class Error, class... Parts>
[[noreturn]] void raise(const char* operation, const Parts&... parts) {
  std::ostringstream text;
  text << '[' << operation << "] ";
  (text << ... << parts);
  throw Error(text.str());
}

}  // namespace fastnn
