// Which compilation of the kernels this process runs, chosen once by CPU feature; and the device beside the CPU, if
// any.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "kernels/kernels.h"

namespace fastnn {

// The table in use: the best the CPU can run, or the one FASTNN_ISA names. ValueError where that is unknown or cannot
// run.
const KernelTable& kernels();

// The compilations in this build that this CPU can run, worst first.
std::vector<std::string> runnable_isas();

inline std::atomic<const DeviceBackend*> registered_device{nullptr};

// The device in use, or null. There is one for the process, which stays once it is registered.
inline const DeviceBackend* device() { return registered_device.load(std::memory_order_acquire); }

// DeviceError where `backend` was compiled for another version of its header, or another one is registered.
void register_device(const DeviceBackend& backend);

// Whether an array at `data` lies on a device.
inline bool is_on_device(const void* data) {
  const DeviceBackend* backend = device();
  return backend && backend->owns(data);
}

// A device's kernel for an entry of kernels(): both tables are of one template, so an entry has the same place in both.
template <class Arguments>
const DeviceKernel<Arguments>& device_kernel(const DeviceBackend& backend, const Kernel<Arguments>& kernel) {
  static_assert(sizeof(Table<Kernel>) / sizeof(Kernel<Arguments>) ==
                sizeof(Table<DeviceKernel>) / sizeof(DeviceKernel<Arguments>));
  const auto* first = reinterpret_cast<const Kernel<Arguments>*>(static_cast<const Table<Kernel>*>(&kernels()));
  return reinterpret_cast<const DeviceKernel<Arguments>*>(&backend.kernels)[&kernel - first];
}

}  // namespace fastnn
