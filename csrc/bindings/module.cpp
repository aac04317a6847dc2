// The Python module fastnn._core: what is registered, and what the build can tell of itself.
#include "bindings/convert.h"

namespace fastnn::bindings {
namespace {

PyObject* device_error = nullptr;  // fastnn._core.DeviceError, for good

void translate_error(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const ValueError& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
  } catch (const TypeError& e) {
    PyErr_SetString(PyExc_TypeError, e.what());
  } catch (const IndexError& e) {
    PyErr_SetString(PyExc_IndexError, e.what());
  } catch (const DeviceError& e) {
    PyErr_SetString(device_error, e.what());
  }
}

py::dict config() {
  py::dict config;
  config["version"] = FASTNN_VERSION;
  config["isa"] = kernels().isa;
  config["isas"] = runnable_isas();
  config["vector_bytes"] = kernels().vector_bytes;
  config["fused_multiply_add"] = kernels().fused_multiply_add;
  config["threads"] = num_threads();
  config["available_cpus"] = available_cpus();
  config["compiler"] = __VERSION__;
  return config;
}

}  // namespace
}  // namespace fastnn::bindings

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  using namespace fastnn;
  using namespace fastnn::bindings;
  m.doc() = "The native kernels of fastnn. Use them as fastnn.kernels, which documents each.";
  device_error = PyErr_NewExceptionWithDoc("fastnn._core.DeviceError",
                                           "A device is not there, or what it was asked to do went wrong.",
                                           PyExc_RuntimeError, nullptr);
  m.attr("DeviceError") = py::reinterpret_borrow<py::object>(device_error);
  py::register_local_exception_translator(translate_error);
  // What the environment says wrong is an error at import, not in the middle of training.
  kernels();
  num_threads_of_environment();
  bind_elementwise(m);
  bind_training(m);
  bind_program(m);
  bind_device(m);
  bind_dlpack(m);

  m.def(
      "empty",
      [](const Shape& shape, const py::object& dtype, Name device) {
        PlacedCall call = make_call("empty", std::nullopt);
        call.device = device_of(call, device);
        std::vector<int64_t> sides = shape_of(call, shape);
        return empty(call, dtype_of(call, dtype), static_cast<int>(sides.size()), sides.data());
      },
      py::arg("shape"), py::arg("dtype") = "float32", py::arg("device") = Name{"cpu"},
      "An array of unset elements, aligned to 64 bytes.");
  m.def("config", config, "What was built and what this machine runs.");
  m.def("num_threads", num_threads, "Threads that a call uses when it does not say.");
  m.def(
      "set_num_threads",
      [](const py::object& num_threads) {
        std::optional<int> threads = exactly<int>(num_threads);
        if (!threads)
          raise<TypeError>("set_num_threads", "num_threads = ", shown(num_threads), " must be an integer from 1 to ",
                           max_threads);
        make_call("set_num_threads", threads);
        set_num_threads(*threads);
      },
      py::arg("num_threads"), "Sets the threads that a call uses when it does not say.");
}
