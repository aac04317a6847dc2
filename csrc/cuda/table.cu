// Collects the kernels of the device, and what stands around them, into one backend.
#include "cuda/backend.h"
#include "cuda/cublaslt.h"
#include "cuda/runtime.h"

namespace fastnn::cuda {

void register_product(Table<DeviceKernel>&);
void register_arithmetic(Table<DeviceKernel>&);
void register_transcendental(Table<DeviceKernel>&);
void register_activation(Table<DeviceKernel>&);
void register_reduction(Table<DeviceKernel>&);
void register_softmax(Table<DeviceKernel>&);
void register_loss(Table<DeviceKernel>&);
void register_update(DeviceBackend&);
void register_indexing(Table<DeviceKernel>&);
void register_random(Table<DeviceKernel>&);

const DeviceBackend& backend() {
  static const DeviceBackend made = [] {
    DeviceBackend backend{};
    fill_runtime(backend);
    Table<DeviceKernel>& table = backend.kernels;
    register_product(table);
    register_arithmetic(table);
    register_transcendental(table);
    register_activation(table);
    register_reduction(table);
    register_softmax(table);
    register_loss(table);
    register_update(backend);
    register_indexing(table);
    register_random(table);
    backend.load_library = cublaslt::load;
    return backend;
  }();
  return made;
}

}  // namespace fastnn::cuda
