// The device beside the CPU: registering it, and what moves to and fro.
#include "bindings/convert.h"

namespace fastnn::bindings {
namespace {

constexpr const char* capsule_name = "fastnn.DeviceBackend";

void register_backend(const py::object& capsule) {
  if (!PyCapsule_IsValid(capsule.ptr(), capsule_name))
    raise<TypeError>("register_device", "capsule = ", shown(capsule), " is not what the `backend` of a device gives");
  register_device(*static_cast<const DeviceBackend*>(PyCapsule_GetPointer(capsule.ptr(), capsule_name)));
  static_cast<void>(py::object(capsule).release());  // kept for good: kernels may be on their way to the end
}

py::array require_numpy(const char* op, const Array& array) {
  if (!py::isinstance<py::array>(array.object))
    raise<TypeError>(op, "x must be a NumPy array, not ", Py_TYPE(array.object.ptr())->tp_name);
  return py::reinterpret_borrow<py::array>(array.object);
}

}  // namespace

const DeviceBackend* device_of(const Call& call, Name name) {
  if (std::strcmp(name.text, "cpu") == 0) return nullptr;
  const DeviceBackend* backend = device();
  if (!backend || std::strcmp(name.text, backend->name) != 0)
    raise<ValueError>(call.op, "device = '", name.text, "' is not there: use 'cpu'");
  return backend;
}

void bind_device(py::module_& m) {
  m.def("register_device", register_backend, py::arg("capsule"),
        "Takes a device into use: `capsule` is what the function `backend` of its module gives.");
  m.attr("kernel_table") = py::capsule(static_cast<const Table<Kernel>*>(&kernels()), "fastnn.Table");  // for backends
  m.def(
      "device_name", [] { return device() ? std::optional<std::string>(device()->name) : std::nullopt; },
      "The name of the registered device, or None.");
  m.def(
      "device_description", [] { return device() ? std::optional<std::string>(device()->description) : std::nullopt; },
      "What the registered device says of itself, or None.");
  m.def(
      "load_library",
      [](FileName file) {
        if (!device()) raise<DeviceError>("load_library", "there is no device");
        return std::string(device()->load_library(file.text));
      },
      py::arg("file"), "Takes a library for products in tf32 and bf16 into use, unless one is; its name and version.");
  m.def(
      "device_of",
      [](const Array& x) { return is_on_device(require_numpy("device_of", x).data()) ? device()->name : "cpu"; },
      py::arg("x"), "The name of the device on which an array lies.");
  m.def(
      "synchronize",
      [] {
        if (const DeviceBackend* backend = device()) backend->synchronize();
      },
      py::call_guard<py::gil_scoped_release>(), "Waits until the CPU may look at what the device has made.");
  m.def(
      "prefetch",
      [](const Array& x) {
        Call call = make_call("prefetch", std::nullopt);
        View view = anywhere(call, "x", x, true).view;
        if (is_on_device(view.data)) device()->prefetch(view.data, count_of(view) * item_size(view.dtype));
      },
      py::arg("x"), "Moves an array of the device there, ahead of its use.");
  m.def(
      "transfer",
      [](const Array& x, Name device, const OptionalArray& out) {
        PlacedCall call = make_call("transfer", std::nullopt);
        Result result(call, out);
        call.device = device_of(call, device);
        eager::transfer(call, anywhere(call, "x", x, true), result);
        return result.take();
      },
      py::arg("x"), py::kw_only(), py::arg("device"), py::arg("out") = py::none(),
      "A copy of an array on a device, or on the CPU.");
}

}  // namespace fastnn::bindings
