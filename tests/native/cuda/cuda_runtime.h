// A stand-in for the CUDA runtime, so that csrc/cuda can be compiled by the host's compiler and its kernels run on a
// machine without a GPU: they are slow there, but what they compute can be compared.
//
// The threads of a block are fibers, which change at barriers and where lanes of a warp exchange values; blocks run one
// after the other. What is launched is kept until someone waits for the stream, so that a result which is looked at too
// soon is missing here too. emulator.cpp says what is detected.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>

#define CUDART_VERSION 13000

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ thread_local  // blocks run one after the other

// ---- what device code sees ----------------------------------------------------------------------------------------

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {
inline constexpr int shared_memory = 227 << 10;  // of a block
int64_t grids();                                 // that have run
void barrier();
// All lanes of the mask come together; each gets the value of lane `source` of the warp.
uint64_t exchange(unsigned mask, uint64_t value, int source);
int lane();
unsigned ballot(unsigned mask, bool predicate);
}  // namespace emulator

inline void __syncthreads() { emulator::barrier(); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFF) { emulator::exchange(mask, 0, emulator::lane()); }
inline unsigned __ballot_sync(unsigned mask, bool predicate) { return emulator::ballot(mask, predicate); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  int first = emulator::lane() / width * width;
  bits = emulator::exchange(mask, bits, first + source % width);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  int at = emulator::lane() % width, wanted = at + static_cast<int>(distance);
  return __shfl_sync(mask, value, wanted < width ? wanted : at, width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, int width = 32) {
  return __shfl_sync(mask, value, emulator::lane() % width ^ distance, width);
}

inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

// ---- what the host calls ------------------------------------------------------------------------------------------

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719
};
enum { cudaMemAttachGlobal = 1, cudaStreamNonBlocking = 1, cudaMemLocationTypeDevice = 1, cudaMemcpyDefault = 4 };
enum { cudaEventDisableTiming = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed = 2 };
enum cudaDeviceAttr {
  cudaDevAttrConcurrentManagedAccess = 89,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrSingleToDoublePrecisionPerfRatio = 87
};
struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  size_t totalGlobalMem, sharedMemPerBlockOptin;
};
struct cudaFuncAttributes {
  size_t sharedSizeBytes;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaMemLocation {
  int type, id;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  struct CUstream_st* stream = nullptr;
  void* attrs = nullptr;
  unsigned numAttrs = 0;
};
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;

// A library on the emulated device enqueues its work by this.
struct CUstream_st {
  void (*enqueue)(CUstream_st* stream, std::function<void()> work);
  cudaGraph_t captured = nullptr;  // where what is enqueued is kept
};

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMallocManaged(void** memory, size_t bytes, unsigned flags = cudaMemAttachGlobal);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMemPrefetchAsync(const void* memory, size_t bytes, cudaMemLocation to, unsigned flags, cudaStream_t);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

namespace emulator {
cudaError_t enqueue(const cudaLaunchConfig_t& config, std::function<void()> thread, const void* kernel = nullptr);
cudaError_t allow_shared(const void* kernel, int bytes);
}  // namespace emulator

template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  return *attributes = {1024}, cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
  return emulator::allow_shared(reinterpret_cast<void*>(kernel), bytes);
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  std::tuple<Parameters...> kept(arguments...);
  return emulator::enqueue(*config, [kernel, kept] { std::apply(kernel, kept); }, reinterpret_cast<void*>(kernel));
}
