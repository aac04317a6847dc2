// The emulated device as a library, for tests of Python: FASTNN_TEST_DEVICE names it (tests/devices/conftest.py).
#include "cuda/backend.h"

extern "C" __attribute__((visibility("default"))) const void* backend() { return &fastnn::cuda::backend(); }
