// Between Python and the core: arrays to views, results to arrays, exceptions, the GIL. Nothing here computes.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "eager/eager.h"

namespace py = pybind11;

namespace fastnn::bindings {

// An argument that must be a NumPy array. Taken as any object, so that the message can name it; never converted:
// pybind11's own conversion would turn a label of 1.9 into 1.
struct Array {
  py::object object;
};
using OptionalArray = std::optional<Array>;

// The name of an option: short, without zeros, and valid while Python holds it. Not std::string, which takes bytes too.
struct Name {
  const char* text;
};

// A string of any length, without zeros.
struct FileName {
  const char* text;
};

// What a str says, as long as it lives; null where it is none, or has zeros.
inline const char* text_of(py::handle source) {
  if (!source || !PyUnicode_Check(source.ptr())) return nullptr;
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(source.ptr(), &size);
  PyErr_Clear();
  return text && static_cast<size_t>(size) == std::strlen(text) ? text : nullptr;
}

// The sides of an array: integers in any sequence.
struct Shape {
  std::vector<int64_t> sides;
};

// Arrays for two results, in any sequence.
struct Pair {
  Array first, second;
};

// A parameter that is an integer or a truth value: taken as such or not at all. By itself pybind11 converts, and
// float32(0.9) becomes 0.
inline py::arg exact(const char* name) { return py::arg(name).noconvert(); }

// The same of any object; nothing where it is something else.
template <class T>
std::optional<T> exactly(py::handle object) {
  py::detail::make_caster<T> caster;
  try {
    if (!caster.load(object, false)) return std::nullopt;
  } catch (const py::error_already_set&) {
    return std::nullopt;  // an array without dimensions, say: a sequence, and without a length
  }
  return py::detail::cast_op<T&&>(std::move(caster));
}

// As many integers as axes may be asked for, and more; nothing where there are too many to be worth memory.
inline std::optional<std::vector<int64_t>> several(py::handle object) {
  if (PySequence_Check(object.ptr()) && PySequence_Size(object.ptr()) > 64) return std::nullopt;
  PyErr_Clear();  // of an array without dimensions
  return exactly<std::vector<int64_t>>(object);
}

// An object for a message, shortened; its type where it cannot be shown.
std::string shown(const py::object& object);

// A number that Python changes and kernels read.
struct Slot {
  double value;
};
using Threads = std::optional<int>;

// The call as the core sees it, while its arrays are looked at: all of them have to lie on the CPU, or on the device.
struct PlacedCall : Call {
  const char *on_cpu = nullptr, *on_device = nullptr;  // what an array there is called
};

// Work worth it runs without the GIL.
PlacedCall make_call(const char* op, Threads threads);

// Takes note of where an array lies, for `argument`, `writable` and `Result`.
void place(PlacedCall& call, const char* name, const Array& array);

// The program that this thread records, or null; and what it keeps alive: every array that a recorded call has seen.
engine::Program* recording();
void keep_for_recording(const py::object& array);

// Data `at_rest`, which no kernel but gather reads, may be float16.
Argument argument(PlacedCall& call, const char* name, const Array& array, bool at_rest = false);
// The same for an array that is written.
Argument writable(PlacedCall& call, const char* name, const Array& array);
// The same for one that may lie anywhere.
Argument anywhere(const Call& call, const char* name, const Array& array, bool at_rest = false);
Integers integers(const Call& call, const char* name, const Array& array);
bool holds_integers(const Array& array);
std::optional<Argument> optional_argument(PlacedCall& call, const char* name, const OptionalArray& array);

DType dtype_of(const Call& call, const py::object& name);
// The device of a name: null for "cpu", ValueError for one that is not registered.
const DeviceBackend* device_of(const Call& call, Name name);
std::vector<int64_t> shape_of(const Call& call, const Shape& shape);
py::array empty(const Call& call, DType dtype, int rank, const int64_t* shape);

// `out`, or a fresh array.
class Result : public Output {
 public:
  Result(PlacedCall& call, const OptionalArray& out);
  View place(const Call& call, DType dtype, int rank, const int64_t* shape) override;
  py::object take() { return std::move(object_); }

 private:
  py::object object_;
};

void bind_device(py::module_& m);
void bind_dlpack(py::module_& m);
void bind_elementwise(py::module_& m);
void bind_program(py::module_& m);
void bind_training(py::module_& m);

}  // namespace fastnn::bindings

namespace pybind11::detail {

template <>
struct type_caster<fastnn::bindings::Array> {
  PYBIND11_TYPE_CASTER(fastnn::bindings::Array, const_name("numpy.ndarray"));
  bool load(handle source, bool) {
    // None is left to std::optional, or to the signature's error.
    if (!source || source.is_none()) return false;
    value.object = reinterpret_borrow<object>(source);
    return true;
  }
};

template <>
struct type_caster<fastnn::bindings::Name> {
  PYBIND11_TYPE_CASTER(fastnn::bindings::Name, const_name("str"));
  bool load(handle source, bool) {
    value.text = fastnn::bindings::text_of(source);
    return value.text && std::strlen(value.text) < 100;
  }
  static handle cast(const fastnn::bindings::Name& name, return_value_policy, handle) {
    return PyUnicode_FromString(name.text);
  }
};

template <>
struct type_caster<fastnn::bindings::FileName> {
  PYBIND11_TYPE_CASTER(fastnn::bindings::FileName, const_name("str"));
  bool load(handle source, bool) { return (value.text = fastnn::bindings::text_of(source)); }
};

template <>
struct type_caster<fastnn::bindings::Pair> {
  PYBIND11_TYPE_CASTER(fastnn::bindings::Pair, const_name("tuple[numpy.ndarray, numpy.ndarray]"));
  bool load(handle source, bool) {
    using fastnn::bindings::Array;
    if (!source || source.is_none()) return false;
    auto pair = fastnn::bindings::exactly<std::pair<Array, Array>>(source);
    if (pair) value = {std::move(pair->first), std::move(pair->second)};
    return pair.has_value();
  }
};

template <>
struct type_caster<fastnn::bindings::Shape> {
  PYBIND11_TYPE_CASTER(fastnn::bindings::Shape, const_name("collections.abc.Sequence[typing.SupportsIndex]"));
  bool load(handle source, bool) {
    auto sides = source ? fastnn::bindings::several(source) : std::nullopt;
    if (sides) value.sides = std::move(*sides);
    return sides.has_value();
  }
};

// A number, or a Slot, whose place the kernel is given.
template <>
struct type_caster<fastnn::Number> {
  PYBIND11_TYPE_CASTER(fastnn::Number, const_name("typing.SupportsFloat"));
  bool load(handle source, bool) {
    if (!source) return false;
    if (PyFloat_CheckExact(source.ptr())) {
      value = {PyFloat_AS_DOUBLE(source.ptr()), nullptr};
      return true;
    }
    if (isinstance<fastnn::bindings::Slot>(source)) {
      double* place = &source.cast<fastnn::bindings::Slot&>().value;
      value = {*place, place};
      return true;
    }
    value = {PyFloat_AsDouble(source.ptr()), nullptr};
    if (value.value != -1 || !PyErr_Occurred()) return true;
    PyErr_Clear();
    return false;
  }
  static handle cast(const fastnn::Number& number, return_value_policy, handle) {
    return PyFloat_FromDouble(number.value);
  }
};

}  // namespace pybind11::detail
