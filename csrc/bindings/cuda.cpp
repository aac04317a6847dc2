// The Python module fastnn._cuda: a backend for CUDA devices, which fastnn._core takes when it is handed over.
#include <pybind11/pybind11.h>

#include "cuda/backend.h"

namespace py = pybind11;

PYBIND11_MODULE(_cuda, m, py::mod_gil_not_used()) {
  m.doc() = "The native kernels of fastnn for CUDA devices.";
  m.def(
      "backend", [] { return py::capsule(&fastnn::cuda::backend(), "fastnn.DeviceBackend"); },
      "The backend, for fastnn._core. RuntimeError, with the reason, where there is no device that can be used.");
}
