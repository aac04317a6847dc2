// The device, its one stream and its memory: what stands between csrc/cuda and the CUDA runtime.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <shared_mutex>
#include <string>

#include "array/error.h"
#include "kernels/device.h"

namespace fastnn::cuda {

// A MemoryError in Python.
struct OutOfMemory : std::bad_alloc {
  explicit OutOfMemory(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// Throws where `error` is one; `what` was being done.
void check(cudaError_t error, const char* what);

// The device in use; throws DeviceError with the reason where there is none that fastnn can use. Asked for once, kept
// for the life of the process.
struct Device {
  int number, multiprocessors;
  int64_t shared_memory;  // bytes that a block of threads can have
  int double_cost;        // how many times as long as one of float arithmetic of double takes
  cudaStream_t stream;
  std::string description;
};
const Device& device();

// Where this thread enqueues: to the device, or into the graph that it captures. Others go on meanwhile.
cudaStream_t current_stream();

// Held, shared, by threads that capture a graph: to wait for the whole device meanwhile would invalidate it.
std::shared_mutex& captures();

// Everything in a DeviceBackend but its kernels; graphs are in graph.cu.
void fill_runtime(DeviceBackend& backend);
void fill_graphs(DeviceBackend& backend);

}  // namespace fastnn::cuda
