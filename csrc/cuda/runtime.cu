// Memory and the stream.
//
// Memory is CUDA's managed memory, so that the CPU can address it too. Blocks that are released are kept and given out
// again at once: there is one stream, and whoever has a block next uses it in the stream's order.
#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>

#include "cuda/lane.h"
#include "cuda/launch.h"
#include "cuda/runtime.h"

namespace fastnn::cuda {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // what does not break the device is forgotten, so that the next call is not blamed for it
  std::string text = std::string("[cuda] could not ") + what + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(text);
  throw DeviceError(text);
}

// ---- the device -----------------------------------------------------------------------------------------------------

namespace {

constexpr int oldest_architecture = 75;

std::string version_of(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

Device find_device() {
  int driver = 0, devices = 0;
  check(cudaDriverGetVersion(&driver), "ask for the driver");
  if (driver == 0) throw DeviceError("[cuda] no NVIDIA driver is installed");
  cudaError_t counted = cudaGetDeviceCount(&devices);
  if (counted == cudaErrorInsufficientDriver)
    throw DeviceError("[cuda] the driver supports CUDA " + version_of(driver) + ", but fastnn was built with CUDA " +
                      version_of(CUDART_VERSION) + ": update the driver");
  if (counted == cudaErrorNoDevice || (counted == cudaSuccess && devices == 0))
    throw DeviceError("[cuda] there is no CUDA device, or CUDA_VISIBLE_DEVICES hides it");
  check(counted, "count devices");
  Device found{};
  check(cudaGetDevice(&found.number), "choose a device");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, found.number), "ask for the device's properties");
  found.multiprocessors = properties.multiProcessorCount;
  check(cudaDeviceGetAttribute(&found.double_cost, cudaDevAttrSingleToDoublePrecisionPerfRatio, found.number),
        "ask for its arithmetic");
  found.shared_memory = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
  std::string architecture = "sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
  found.description = std::string(properties.name) + " (" + architecture + ", " +
                      std::to_string(properties.totalGlobalMem >> 20) + " MiB), driver for CUDA " + version_of(driver);
  if (properties.major * 10 + properties.minor < oldest_architecture)
    throw DeviceError("[cuda] " + found.description + " is older than sm_" + std::to_string(oldest_architecture) +
                      ", the oldest that fastnn has machine code for");
  int concurrent = 0;
  check(cudaDeviceGetAttribute(&concurrent, cudaDevAttrConcurrentManagedAccess, found.number), "ask for its memory");
  if (!concurrent)
    throw DeviceError("[cuda] " + found.description +
                      ": the CPU cannot address its memory while it works, as under Windows and WSL");
  check(cudaStreamCreateWithFlags(&found.stream, cudaStreamNonBlocking), "make a stream");
  return found;
}

}  // namespace

const Device& device() {
  static const Device found = find_device();
  return found;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

namespace {

constexpr int64_t granule = 256;  // a block's alignment

// Sizes go up in eighths of a power of two, so that blocks fit each other again.
int64_t size_class(int64_t bytes) {
  int64_t step = granule;
  while (step * 16 <= bytes) step *= 2;
  return (std::max<int64_t>(bytes, 1) + step - 1) / step * step;
}

class Memory {
 public:
  std::byte* allocate(int64_t bytes) {
    if (bytes < 0 || bytes > INT64_MAX / 2)
      throw OutOfMemory("[cuda] no memory of " + std::to_string(bytes) + " bytes");
    std::lock_guard lock(mutex_);
    int64_t size = size_class(bytes);
    if (auto found = free_.find(size); found != free_.end()) {
      std::byte* block = found->second;
      free_.erase(found);
      return block;
    }
    device();
    void* block = nullptr;
    cudaError_t error = cudaMallocManaged(&block, static_cast<size_t>(size), cudaMemAttachGlobal);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      give_back();
      error = cudaMallocManaged(&block, static_cast<size_t>(size), cudaMemAttachGlobal);
    }
    check(error, ("take " + std::to_string(size) + " bytes of memory").c_str());
    sizes_[static_cast<std::byte*>(block)] = size;
    return static_cast<std::byte*>(block);
  }

  void release(std::byte* block) {
    std::lock_guard lock(mutex_);
    free_.emplace(sizes_.at(block), block);
  }

  // The end of a block is its own: blocks are aligned, and of two neighbours the later one is asked first.
  bool owns(const void* memory) {
    std::lock_guard lock(mutex_);
    auto at = static_cast<const std::byte*>(memory);
    auto next = sizes_.upper_bound(const_cast<std::byte*>(at));
    return next != sizes_.begin() && at <= std::prev(next)->first + std::prev(next)->second;
  }

 private:
  void give_back() {
    for (auto [size, block] : free_) {
      sizes_.erase(block);
      check(cudaFree(block), "give memory back");
    }
    free_.clear();
  }

  std::mutex mutex_;
  std::map<std::byte*, int64_t> sizes_;  // of all blocks
  std::multimap<int64_t, std::byte*> free_;
};

// Never destroyed: the driver may be gone by then.
Memory& memory() {
  static Memory* all = new Memory;
  return *all;
}

void prefetch(const void* from, int64_t bytes) {
  cudaMemLocation here{};
  here.type = cudaMemLocationTypeDevice;
  here.id = device().number;
  check(cudaMemPrefetchAsync(from, static_cast<size_t>(bytes), here, 0, device().stream), "move memory to the device");
}

// What the CPU alone can see is read or written on return.
void copy(void* to, const void* from, int64_t bytes) {
  note_launch();
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, current_stream()), "copy memory");
  if (!memory().owns(to) || !memory().owns(from)) check(cudaStreamSynchronize(device().stream), "copy memory");
}

void synchronize() { check(cudaStreamSynchronize(device().stream), "finish what was enqueued"); }

void order(void* first, void* then) {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "make an event");
  cudaError_t error = cudaEventRecord(event, static_cast<cudaStream_t>(first));
  if (error == cudaSuccess) error = cudaStreamWaitEvent(static_cast<cudaStream_t>(then), event, 0);
  cudaEventDestroy(event);  // once it is over
  check(error, "order two streams");
}

void settle() {
  const std::lock_guard lock(captures());
  check(cudaDeviceSynchronize(), "finish what was enqueued on all streams");
}

}  // namespace

void fill_runtime(DeviceBackend& backend) {
  backend.abi = device_abi;
  backend.name = "cuda";
  backend.description = device().description.c_str();
  backend.number = device().number;
  backend.stream = device().stream;
  backend.allocate = [](int64_t bytes) { return memory().allocate(bytes); };
  backend.release = [](std::byte* block) { memory().release(block); };
  backend.owns = [](const void* address) { return memory().owns(address); };
  backend.prefetch = prefetch;
  backend.copy = copy;
  backend.synchronize = synchronize;
  backend.order = order;
  backend.settle = settle;
  fill_graphs(backend);
}

}  // namespace fastnn::cuda
