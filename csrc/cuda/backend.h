// What csrc/cuda offers. No header of CUDA is needed to include it.
#pragma once

#include "kernels/device.h"

namespace fastnn::cuda {

// The device's memory, stream and kernels. Asks for the device at the first call; throws DeviceError, with the reason,
// where there is none that can be used.
const DeviceBackend& backend();

}  // namespace fastnn::cuda
