// Arrays of the device for other libraries, and theirs for this one.
//
// What is lent is shared: managed memory, which CUDA's kernels reach like any other. What comes from elsewhere is
// copied: it may be memory that the CPU cannot address, and a Tensor's can always be looked at.
#include "bindings/convert.h"

namespace fastnn::bindings {
namespace {

// DLPack's structures: https://dmlc.github.io/dlpack/latest/c_api.html
struct DLDevice {
  int32_t type, number;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t rank;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } dtype;
  int64_t *shape, *strides;  // in elements; null: contiguous
  uint64_t byte_offset;
};
struct DLManagedTensor {
  static constexpr const char *name = "dltensor", *taken = "used_dltensor";
  DLTensor tensor;
  void* owner;
  void (*deleter)(DLManagedTensor*);
};
struct DLManagedTensorVersioned {
  static constexpr const char *name = "dltensor_versioned", *taken = "used_dltensor_versioned";
  struct {
    uint32_t major, minor;
  } version;
  void* owner;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};
constexpr int32_t cuda = 2, cuda_managed = 13;
constexpr uint64_t is_read_only = 1, is_copied = 2;

constexpr uint8_t code_of(DType dtype) {
  switch (dtype) {
    case DType::int64:
    case DType::int32: return 0;
    case DType::uint8: return 1;
    case DType::boolean: return 6;
    default: return 2;
  }
}

const DeviceBackend& require_device(const Call& call) {
  if (!device()) raise<DeviceError>(call.op, "no device is registered");
  return *device();
}

// ---- theirs ---------------------------------------------------------------------------------------------------------

template <class Managed>
struct Lent {
  Managed managed;
  py::object array;
  int64_t shape[max_rank], strides[max_rank];
};

// Memory that is released may be given out again at once, so what another library still does with it has to be over.
// Where that cannot be waited for, as within a capture of a graph, the memory is not released.
template <class Managed>
void end_loan(Managed* managed) {
  if (!Py_IsInitialized()) return;
  try {
    device()->settle();
  } catch (const std::exception&) {
    return;
  }
  py::gil_scoped_acquire acquire;
  delete static_cast<Lent<Managed>*>(managed->owner);
}

template <class Managed>
py::object capsule_of(const DeviceBackend& backend, const py::object& array, const View& view, int32_t type,
                      [[maybe_unused]] uint64_t flags) {
  auto lent = std::make_unique<Lent<Managed>>(Lent<Managed>{{}, array, {}, {}});
  std::copy_n(view.shape, view.rank, lent->shape);
  std::copy_n(view.strides, view.rank, lent->strides);
  Managed& managed = lent->managed;
  managed.tensor = {view.data,
                    {type, backend.number},
                    view.rank,
                    {code_of(view.dtype), static_cast<uint8_t>(8 * item_size(view.dtype)), 1},
                    lent->shape,
                    lent->strides,
                    0};
  managed.owner = lent.get();
  managed.deleter = end_loan<Managed>;
  if constexpr (requires { managed.flags; }) managed.version = {1, 0}, managed.flags = flags;
  auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(&managed, Managed::name, [](PyObject* unused) {
    // One that has been taken has another name, and is the taker's to end.
    if (!PyCapsule_IsValid(unused, Managed::name)) return;
    auto* loan = static_cast<Managed*>(PyCapsule_GetPointer(unused, Managed::name));
    loan->deleter(loan);
  }));
  if (!capsule) throw py::error_already_set();
  lent.release();
  return capsule;
}

py::object lend(const Array& x, bool managed, bool versioned, bool copied) {
  Call call = make_call("lend", std::nullopt);
  View view = anywhere(call, "x", x).view;
  const DeviceBackend& backend = require_device(call);
  if (!is_on_device(view.data)) raise<ValueError>(call.op, "x is on the CPU: its own __dlpack__ lends it");
  const bool writeable = py::reinterpret_borrow<py::array>(x.object).writeable();
  const int32_t type = managed ? cuda_managed : cuda;
  const uint64_t flags = (writeable ? 0 : is_read_only) | (copied ? is_copied : 0);
  if (versioned) return capsule_of<DLManagedTensorVersioned>(backend, x.object, view, type, flags);
  if (!writeable) {
    PyErr_SetString(PyExc_BufferError,
                    "[__dlpack__] the tensor is read-only, which only DLPack 1.0 can tell: use clone()");
    throw py::error_already_set();
  }
  return capsule_of<DLManagedTensor>(backend, x.object, view, type, flags);
}

// ---- ours -----------------------------------------------------------------------------------------------------------

// On the device, contiguous; it is there on return, so that `view` may go.
py::array copied(Call& call, const View& view) {
  call.device = &require_device(call);
  call.program = nullptr;  // it happens now
  py::array result = empty(call, view.dtype, view.rank, view.shape);
  if (count_of(view) > 0)
    copy(call, view,
         contiguous_view(static_cast<std::byte*>(result.mutable_data()), view.dtype, view.rank, view.shape));
  wait_for(call, *call.device);
  return result;
}

View view_of(const Call& call, const DLTensor& tensor) {
  if (tensor.device.type != cuda && tensor.device.type != cuda_managed)
    raise<ValueError>(call.op, "source is on a device of DLPack's type ", tensor.device.type, ", which is not CUDA");
  if (tensor.rank > max_rank) raise<ValueError>(call.op, "source has ", tensor.rank, " dimensions; at most ", max_rank);
  for (DType dtype : {DType::float32, DType::float64, DType::int64, DType::int32, DType::uint8, DType::boolean}) {
    if (tensor.dtype.code != code_of(dtype) || tensor.dtype.bits != 8 * item_size(dtype) || tensor.dtype.lanes != 1)
      continue;
    View view =
        contiguous_view(static_cast<std::byte*>(tensor.data) + tensor.byte_offset, dtype, tensor.rank, tensor.shape);
    if (tensor.strides) std::copy_n(tensor.strides, tensor.rank, view.strides);
    return view;
  }
  raise<TypeError>(call.op, "source has elements of DLPack's type ", int{tensor.dtype.code}, " in ",
                   int{tensor.dtype.bits}, " bits; supported are float32, float64, int64, int32, uint8 and bool");
}

template <class Managed>
py::array copy_and_end(Call& call, const py::object& capsule) {
  auto end = [](Managed* managed) {
    if (managed->deleter) managed->deleter(managed);
  };
  std::unique_ptr<Managed, decltype(end)> managed(
      static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::name)));
  PyCapsule_SetName(capsule.ptr(), Managed::taken);
  require_device(call);
  return copied(call, view_of(call, managed->tensor));
}

py::array from_dlpack(const py::object& capsule) {
  Call call = make_call("from_dlpack", std::nullopt);
  if (PyCapsule_IsValid(capsule.ptr(), DLManagedTensor::name)) return copy_and_end<DLManagedTensor>(call, capsule);
  if (PyCapsule_IsValid(capsule.ptr(), DLManagedTensorVersioned::name))
    return copy_and_end<DLManagedTensorVersioned>(call, capsule);
  raise<TypeError>(call.op, "capsule = ", shown(capsule), " is not what __dlpack__ gives");
}

}  // namespace

void bind_dlpack(py::module_& m) {
  m.def("lend", lend, py::arg("x"), py::kw_only(), exact("managed"), exact("versioned"), exact("copied"),
        "An array of the device as a capsule of DLPack, of its version 1 or that before it.");
  m.def("from_dlpack", from_dlpack, py::arg("capsule"), "A copy of what lies on the device by a capsule of DLPack.");
  m.def(
      "copy_of_foreign",
      [](const Array& x) {
        Call call = make_call("copy_of_foreign", std::nullopt);
        return copied(call, anywhere(call, "x", x).view);
      },
      py::arg("x"), "A copy of an array over memory on the device that somebody else's kernels have made.");
  m.def(
      "device_place",
      [] {
        const DeviceBackend& backend = require_device(make_call("device_place", std::nullopt));
        return std::pair(backend.number, reinterpret_cast<intptr_t>(backend.stream));
      },
      "The number of the registered device, and its stream, as other libraries know them.");
  m.def(
      "order",
      [](intptr_t first, intptr_t then) {
        require_device(make_call("order", std::nullopt))
            .order(reinterpret_cast<void*>(first), reinterpret_cast<void*>(then));
      },
      exact("first"), exact("then"), "Lets stream `then` wait for what stream `first` has been given.");
}

}  // namespace fastnn::bindings
