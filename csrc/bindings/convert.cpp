#include "bindings/convert.h"

#include <algorithm>

namespace fastnn::bindings {
namespace {

constexpr int npy_half = 23;  // NPY_HALF, which pybind11 does not name

// Kind and size of NumPy's type numbers, which name C types.
struct Scalar {
  char kind;  // 'b', 'i', 'u', 'f', or 0 for what is not supported
  int size;
};

Scalar scalar_of(int type_number) {
  using namespace py::detail;
  switch (type_number) {
    case npy_api::NPY_BOOL_: return {'b', 1};
    case npy_api::NPY_BYTE_: return {'i', 1};
    case npy_api::NPY_UBYTE_: return {'u', 1};
    case npy_api::NPY_SHORT_: return {'i', 2};
    case npy_api::NPY_USHORT_: return {'u', 2};
    case npy_api::NPY_INT_: return {'i', sizeof(int)};
    case npy_api::NPY_UINT_: return {'u', sizeof(int)};
    case npy_api::NPY_LONG_: return {'i', sizeof(long)};
    case npy_api::NPY_ULONG_: return {'u', sizeof(long)};
    case npy_api::NPY_LONGLONG_: return {'i', 8};
    case npy_api::NPY_ULONGLONG_: return {'u', 8};
    case npy_half: return {'f', 2};
    case npy_api::NPY_FLOAT_: return {'f', 4};
    case npy_api::NPY_DOUBLE_: return {'f', 8};
    default: return {0, 0};
  }
}

std::optional<DType> dtype_of(Scalar scalar) {
  switch (scalar.kind) {
    case 'b': return DType::boolean;
    case 'u':
      if (scalar.size == 1) return DType::uint8;
      break;
    case 'i':
      if (scalar.size == 8) return DType::int64;
      if (scalar.size == 4) return DType::int32;
      break;
    case 'f': return scalar.size == 2 ? DType::float16 : scalar.size == 4 ? DType::float32 : DType::float64;
  }
  return std::nullopt;
}

bool is_swapped(const py::dtype& dtype) { return dtype.byteorder() == '>' && PY_LITTLE_ENDIAN; }

py::array require_array(const Call& call, const char* name, const Array& array) {
  if (!py::isinstance<py::array>(array.object))
    raise<TypeError>(call.op, name, " must be a NumPy array, not ", Py_TYPE(array.object.ptr())->tp_name);
  auto result = py::reinterpret_borrow<py::array>(array.object);
  if (is_swapped(result.dtype()))
    raise<TypeError>(call.op, name, " is byte-swapped; convert it with ", name, ".astype(", name,
                     ".dtype.newbyteorder('='))");
  if (!(result.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_))
    raise<ValueError>(call.op, name, " is not aligned in memory; copy it");
  if (result.ndim() > max_rank)
    raise<ValueError>(call.op, name, " has ", result.ndim(), " dimensions; at most ", max_rank);
  if (call.program) keep_for_recording(result);
  return result;
}

// Steps of an aligned array are whole elements, those of a field of records too.
static_assert(alignof(double) == sizeof(double) && alignof(int64_t) == sizeof(int64_t));

View view_of(const Call& call, const char* name, const py::array& array, bool at_rest) {
  std::optional<DType> dtype = dtype_of(scalar_of(array.dtype().num()));
  if (!dtype || (dtype == DType::float16 && !at_rest))
    raise<TypeError>(call.op, name, " has dtype ", std::string(py::str(array.dtype())),
                     "; supported are float32, float64, int64, int32, uint8 and bool");
  View view{static_cast<std::byte*>(const_cast<void*>(array.data())), *dtype, static_cast<int>(array.ndim()), {}, {}};
  int64_t size = item_size(*dtype);
  for (int i = 0; i < view.rank; ++i) {
    view.shape[i] = array.shape(i);
    view.strides[i] = array.strides(i) / size;
  }
  return view;
}

void require_writable(const Call& call, const char* name, const py::array& array) {
  if (!array.writeable()) raise<ValueError>(call.op, name, " is read-only");
}

const py::dtype& numpy_dtype(DType dtype) {
  struct Dtypes {
    py::dtype each[7] = {py::dtype::of<float>(),   py::dtype::of<double>(),  py::dtype::of<int64_t>(),
                         py::dtype::of<int32_t>(), py::dtype::of<uint8_t>(), py::dtype::of<bool>(),
                         py::dtype(npy_half)};
  };
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<Dtypes> storage;
  return storage.call_once_and_store_result([] { return Dtypes(); }).get_stored().each[static_cast<int>(dtype)];
}

// What owns the memory of an array gives it back, to the CPU or to the device.
void free(PyObject* capsule) { release(static_cast<std::byte*>(PyCapsule_GetPointer(capsule, nullptr))); }
void give_back(PyObject* capsule) {
  device()->release(static_cast<std::byte*>(PyCapsule_GetPointer(capsule, nullptr)));
}

void release_gil(void (*work)(void*), void* context) {
  py::gil_scoped_release release;
  work(context);
}

}  // namespace

PlacedCall make_call(const char* op, Threads threads) {
  if (threads && (*threads < 1 || *threads > max_threads))
    raise<ValueError>(op, "num_threads = ", *threads, " must be from 1 to ", max_threads);
  return {{op, threads.value_or(0), release_gil, recording()}};
}

void place(PlacedCall& call, const char* name, const Array& array) {
  const DeviceBackend* backend = device();
  if (!backend || !py::isinstance<py::array>(array.object)) return;
  auto placed = py::reinterpret_borrow<py::array>(array.object);
  if (backend->owns(placed.data())) {
    call.device = backend;
    call.on_device = name;
  } else if (placed.size() > 0) {  // nothing is nowhere
    call.on_cpu = name;
  }
  if (call.on_cpu && call.on_device)
    raise<ValueError>(call.op, call.on_cpu, " is on the CPU but ", call.on_device, " is on ", backend->name,
                      ": move it with .to('", backend->name, "')");
}

Argument anywhere(const Call& call, const char* name, const Array& array, bool at_rest) {
  return {view_of(call, name, require_array(call, name, array), at_rest), name};
}

Argument argument(PlacedCall& call, const char* name, const Array& array, bool at_rest) {
  place(call, name, array);
  return anywhere(call, name, array, at_rest);
}

Argument writable(PlacedCall& call, const char* name, const Array& array) {
  place(call, name, array);
  py::array checked = require_array(call, name, array);
  require_writable(call, name, checked);
  return {view_of(call, name, checked, false), name};
}

bool holds_integers(const Array& array) {
  if (!py::isinstance<py::array>(array.object)) return false;
  char kind = scalar_of(py::reinterpret_borrow<py::array>(array.object).dtype().num()).kind;
  return kind == 'i' || kind == 'u';
}

Integers integers(const Call& call, const char* name, const Array& array) {
  py::array checked = require_array(call, name, array);
  Scalar scalar = scalar_of(checked.dtype().num());
  if (scalar.kind != 'i' && scalar.kind != 'u')
    raise<TypeError>(call.op, name, " must be integers, not ", std::string(py::str(checked.dtype())));
  if (checked.ndim() != 1) raise<ValueError>(call.op, name, " must have 1 dimension, not ", checked.ndim());
  return {static_cast<const std::byte*>(checked.data()),
          scalar.size,
          scalar.kind == 'i',
          checked.shape(0),
          checked.strides(0),
          name};
}

std::optional<Argument> optional_argument(PlacedCall& call, const char* name, const OptionalArray& array) {
  if (!array) return std::nullopt;
  return argument(call, name, *array);
}

std::string shown(const py::object& object) {
  constexpr size_t longest = 200;
  try {
    std::string text = py::repr(object);
    if (text.size() <= longest) return text;
  } catch (const py::error_already_set&) {
    // An integer of more digits than Python prints, or an object of somebody's own.
  }
  return std::string("<") + Py_TYPE(object.ptr())->tp_name + ">";
}

DType dtype_of(const Call& call, const py::object& name) {
  std::optional<DType> dtype;
  try {
    py::dtype given = py::dtype::from_args(name);
    // None would be float64 for NumPy, and is no choice here.
    if (!name.is_none() && !is_swapped(given)) dtype = dtype_of(scalar_of(given.num()));
  } catch (const py::error_already_set&) {
    // Not a dtype at all; said below.
  }
  if (!dtype || dtype == DType::float16)
    raise<TypeError>(call.op, "dtype = ", shown(name),
                     " is not supported; supported are float32, float64, int64, int32, uint8 and bool");
  return *dtype;
}

std::vector<int64_t> shape_of(const Call& call, const Shape& shape) {
  if (shape.sides.size() > max_rank)
    raise<ValueError>(call.op, "shape has ", shape.sides.size(), " dimensions; at most ", max_rank);
  for (int64_t side : shape.sides)
    if (side < 0) raise<ValueError>(call.op, "shape has a negative side, ", side);
  return shape.sides;
}

py::array empty(const Call& call, DType dtype, int rank, const int64_t* shape) {
  int64_t bytes = item_size(dtype);
  bool is_empty = false;
  for (int i = 0; i < rank; ++i) {
    // A side of 0 does not excuse the others: NumPy refuses them too.
    if (shape[i] == 0) is_empty = true;
    else bytes = checked_multiply(call.op, bytes, shape[i]);
  }
  if (is_empty) bytes = 0;
  std::byte* data = call.device ? call.device->allocate(bytes) : allocate(bytes);
  // Every result comes this way, so by NumPy's own functions: py::array and py::capsule take twice as long.
  auto owner = py::reinterpret_steal<py::object>(PyCapsule_New(data, nullptr, call.device ? give_back : free));
  if (!owner) {
    call.device ? call.device->release(data) : release(data);
    throw py::error_already_set();
  }
  auto& numpy = py::detail::npy_api::get();
  Py_intptr_t sides[max_rank];
  std::copy(shape, shape + rank, sides);
  py::dtype descriptor = numpy_dtype(dtype);
  auto array = py::reinterpret_steal<py::array>(
      numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, descriptor.release().ptr(), rank, sides, nullptr, data,
                                  py::detail::npy_api::NPY_ARRAY_WRITEABLE_, nullptr));
  if (!array || numpy.PyArray_SetBaseObject_(array.ptr(), owner.release().ptr()) < 0) throw py::error_already_set();
  return array;
}

Result::Result(PlacedCall& call, const OptionalArray& out) {
  given = out.has_value();
  if (!given) return;
  object_ = out->object;
  bindings::place(call, "out", *out);
}

View Result::place(const Call& call, DType dtype, int rank, const int64_t* shape) {
  if (!given) {
    object_ = empty(call, dtype, rank, shape);
    if (call.program) keep_for_recording(object_);
  }
  py::array array = given ? require_array(call, "out", {object_}) : py::reinterpret_borrow<py::array>(object_);
  View view = view_of(call, "out", array, dtype == DType::float16);
  if (!given) return view;
  if (view.dtype != dtype)
    raise<TypeError>(call.op, "out is ", name_of(view.dtype), " but the result is ", name_of(dtype));
  bool same = view.rank == rank;
  for (int i = 0; same && i < rank; ++i) same = view.shape[i] == shape[i];
  if (!same) raise<ValueError>(call.op, "out has shape ", ShapeOf(view), " but the result has ", ShapeOf(shape, rank));
  require_writable(call, "out", array);
  if (overlaps_itself(view))
    raise<ValueError>(call.op, "out has elements that share memory: its shape is ", ShapeOf(view),
                      ", its strides in elements ", ShapeOf(view.strides, rank));
  return view;
}

}  // namespace fastnn::bindings
