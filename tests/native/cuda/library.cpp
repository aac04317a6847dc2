// The emulated device as a library, for tests of Python: FASTNN_TEST_DEVICE names it (tests/devices/conftest.py).
#include "cuda/backend.h"
#include "cuda_runtime.h"

#define FASTNN_VISIBLE extern "C" __attribute__((visibility("default")))

FASTNN_VISIBLE const void* backend() { return &fastnn::cuda::backend(); }
FASTNN_VISIBLE int64_t kernels_run() { return emulator::grids(); }
