// In place of csrc/kernels/dispatch.cpp: the table is that of csrc/cuda, emulated on the CPU. Each kernel is one item,
// which launches it and waits.
#include "kernels/dispatch.h"

#include "cuda/backend.h"
#include "kernel_names.h"

namespace fastnn {
namespace {

template <auto kernel>
struct OnDevice;

template <class Arguments, DeviceKernel<Arguments> Table<DeviceKernel>::* kernel>
struct OnDevice<kernel> {
  static Work work(const Arguments& arguments) {
    const DeviceKernel<Arguments>& device = cuda::backend().kernels.*kernel;
    return {1, {1}, {1e3}, device.workspace ? device.workspace(arguments) : 0, 0};
  }
  static void run(const Arguments& arguments, int, int64_t, int64_t, std::byte* workspace, std::byte*) {
    (cuda::backend().kernels.*kernel).launch(arguments, workspace);
    cuda::backend().synchronize();
  }
};

KernelTable emulated() {
  KernelTable table{};
  table.isa = "emulated";
  table.vector_bytes = 4;
  table.fused_multiply_add = true;
#define FASTNN_ADAPT(name) \
  table.name = {OnDevice<&Table<DeviceKernel>::name>::work, OnDevice<&Table<DeviceKernel>::name>::run, nullptr};
  FASTNN_EACH_KERNEL(FASTNN_ADAPT)
#undef FASTNN_ADAPT
  return table;
}

}  // namespace

const KernelTable& kernels() {
  static const KernelTable table = emulated();
  return table;
}

// None where the CPU has no fused multiply-add: its bits would be others.
std::vector<std::string> runnable_isas() {
  return __builtin_cpu_supports("x86-64-v3") ? std::vector<std::string>{"emulated"} : std::vector<std::string>{};
}

}  // namespace fastnn
