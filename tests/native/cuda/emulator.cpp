// The stand-in for the CUDA runtime: fibers for threads, a list of what has been enqueued for the stream.
//
// Detected, and the end of the process: a barrier or a mask of lanes that never comes together (a thread ended, or took
// another way), and a launch that no device would take. With FASTNN_EMULATOR_ORDER=reverse the threads of a block run
// from the last to the first between barriers, so that a barrier that is missing shows as other bits.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "cuda_runtime.h"

// Saves the registers that a call must keep and the stack pointer at *from, and goes on with the stack `to`.
extern "C" void fastnn_switch_stack(void** from, void* to);
asm(R"(
.text
.globl fastnn_switch_stack
.type fastnn_switch_stack, @function
fastnn_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fastnn_switch_stack, .-fastnn_switch_stack
)");

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace fastnn::cuda {
extern thread_local uint4 resident_memory[];
thread_local uint4 resident_memory[emulator::shared_memory / sizeof(uint4)];
}  // namespace fastnn::cuda

namespace emulator {
namespace {

constexpr size_t stack_bytes = 128 << 10;
constexpr int most_threads = 1024;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "emulated CUDA: %s; thread (%u, %u) of %u x %u, block (%u, %u) of %u x %u\n", what, threadIdx.x,
               threadIdx.y, blockDim.x, blockDim.y, blockIdx.x, blockIdx.y, gridDim.x, gridDim.y);
  std::abort();
}

struct Fiber {
  void* stack_pointer;
  dim3 index;
  bool done;
  uint64_t exchanges;  // taken part in
  uint64_t value[2];   // given to the latest two
};

// The block that runs.
struct Block {
  Fiber fibers[most_threads];
  int count = 0, current = 0, ended = 0, waiting = 0;
  uint64_t barriers = 0, progress = 0;
  void* scheduler = nullptr;  // the stack that fibers change with
  std::byte* stacks = nullptr;
  const std::function<void()>* thread = nullptr;
};
Block block;

void enter() {
  (*block.thread)();
  Fiber& self = block.fibers[block.current];
  self.done = true;
  ++block.ended, ++block.progress;
  void* abandoned;
  fastnn_switch_stack(&abandoned, block.scheduler);
  fail("an ended thread goes on");
}

// Lets the other threads go on until `ready`.
template <class Ready>
void wait_until(Ready ready) {
  while (!ready()) fastnn_switch_stack(&block.fibers[block.current].stack_pointer, block.scheduler);
  ++block.progress;
}

void run_block(bool reverse) {
  if (!block.stacks) {
    void* memory = mmap(nullptr, stack_bytes * most_threads, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) fail("no memory for stacks");
    block.stacks = static_cast<std::byte*>(memory);
  }
  block.count = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
  block.ended = block.waiting = 0;
  for (int i = 0; i < block.count; ++i) {
    Fiber& fiber = block.fibers[i];
    // What fastnn_switch_stack takes from the stack: six registers, the address of enter(), and room that keeps the
    // stack aligned as after a call.
    void** top = reinterpret_cast<void**>(block.stacks + stack_bytes * static_cast<size_t>(i + 1)) - 8;
    std::memset(top, 0, 8 * sizeof(void*));
    top[6] = reinterpret_cast<void*>(&enter);
    unsigned number = static_cast<unsigned>(i);
    fiber = {top, {number % blockDim.x, number / blockDim.x % blockDim.y, 0}, false, 0, {}};
  }
  while (block.ended < block.count) {
    uint64_t before = block.progress;
    for (int turn = 0; turn < block.count; ++turn) {
      block.current = reverse ? block.count - 1 - turn : turn;
      Fiber& fiber = block.fibers[block.current];
      if (fiber.done) continue;
      threadIdx = fiber.index;
      fastnn_switch_stack(&block.scheduler, fiber.stack_pointer);
    }
    if (block.progress == before) fail("threads wait for others that never come");
  }
}

int64_t grids_run = 0;

void run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  ++grids_run;
  const char* order = std::getenv("FASTNN_EMULATOR_ORDER");
  bool reverse = order && std::strcmp(order, "reverse") == 0;
  gridDim = config.gridDim, blockDim = config.blockDim;
  block.thread = &thread;
  for (unsigned y = 0; y < gridDim.y; ++y) {
    for (unsigned x = 0; x < gridDim.x; ++x) {
      blockIdx = {x, y, 0};
      run_block(reverse);
    }
  }
}

}  // namespace

int64_t grids() { return grids_run; }

int lane() { return block.current % 32; }

void barrier() {
  if (block.ended > 0) fail("a barrier after a thread has ended");
  uint64_t number = block.barriers;
  if (++block.waiting == block.count) {
    block.waiting = 0;
    ++block.barriers;
  }
  wait_until([number] { return block.barriers != number; });
}

namespace {

// Of this thread's warp. A slot is used again two exchanges later, and nobody is there before all have read.
uint64_t come_together(unsigned mask, uint64_t value) {
  Fiber& self = block.fibers[block.current];
  Fiber* warp = block.fibers + block.current / 32 * 32;
  if (!(mask >> lane() & 1)) fail("a thread exchanges with a mask that it is not in");
  uint64_t number = ++self.exchanges;
  self.value[number % 2] = value;
  wait_until([=] {
    for (int i = 0; i < 32; ++i)
      if (mask >> i & 1 && (warp + i >= block.fibers + block.count || warp[i].exchanges < number)) return false;
    return true;
  });
  return number % 2;
}

}  // namespace

uint64_t exchange(unsigned mask, uint64_t value, int source) {
  if (!(mask >> source & 1)) fail("a thread asks a lane that is not in the mask");
  uint64_t slot = come_together(mask, value);
  return block.fibers[block.current / 32 * 32 + source].value[slot];
}

unsigned ballot(unsigned mask, bool predicate) {
  uint64_t slot = come_together(mask, predicate);
  unsigned votes = 0;
  for (int i = 0; i < 32; ++i)
    if (mask >> i & 1 && block.fibers[block.current / 32 * 32 + i].value[slot]) votes |= 1u << i;
  return votes;
}

}  // namespace emulator

// ---- the stream -----------------------------------------------------------------------------------------------------

namespace {

struct Launch {
  cudaLaunchConfig_t config;
  std::function<void()> thread;
};

std::recursive_mutex mutex;
std::vector<Launch> enqueued;
std::map<const void*, size_t> allowed_shared;  // of kernels that ask for more than 48 KiB

// Bounds of every architecture.
bool fits(const dim3& grid, const dim3& block) {
  return grid.x > 0 && grid.y > 0 && grid.x <= 0x7FFFFFFF && grid.y <= 0xFFFF && grid.z == 1 && block.x > 0 &&
         block.y > 0 && block.z == 1 && block.x * block.y <= 1024;
}

}  // namespace

struct CUgraph_st {
  std::vector<Launch> launches;
};
struct CUgraphExec_st {
  std::vector<Launch> launches;
};

namespace {

void enqueue_on(CUstream_st* stream, std::function<void()> work) {
  cudaLaunchConfig_t config{};
  config.stream = stream;
  emulator::enqueue(config, std::move(work));
}

}  // namespace

CUstream_st the_stream{enqueue_on};

cudaError_t emulator::enqueue(const cudaLaunchConfig_t& config, std::function<void()> thread, const void* kernel) {
  std::lock_guard lock(mutex);
  const size_t allowed = allowed_shared.count(kernel) ? allowed_shared[kernel] : 48 << 10;
  if (!fits(config.gridDim, config.blockDim) || config.dynamicSmemBytes > allowed) return cudaErrorInvalidValue;
  (config.stream->captured ? config.stream->captured->launches : enqueued).push_back({config, std::move(thread)});
  return cudaSuccess;
}

cudaError_t emulator::allow_shared(const void* kernel, int bytes) {
  std::lock_guard lock(mutex);
  if (bytes > shared_memory) return cudaErrorInvalidValue;
  return allowed_shared[kernel] = static_cast<size_t>(bytes), cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    default: return "an error";
  }
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated on the CPU", 9, 0, 4, size_t{1} << 34, emulator::shared_memory};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount                ? 4
           : attribute == cudaDevAttrSingleToDoublePrecisionPerfRatio ? 2
                                                                      : 1;
  return cudaSuccess;
}

cudaError_t cudaMallocManaged(void** memory, size_t bytes, unsigned) {
  *memory = bytes <= size_t{1} << 40 ? std::aligned_alloc(512, (bytes + 511) / 512 * 512) : nullptr;
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* memory) {
  cudaStreamSynchronize(nullptr);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemPrefetchAsync(const void*, size_t, cudaMemLocation, unsigned, cudaStream_t) { return cudaSuccess; }

// By one thread, in the stream's order.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, int, cudaStream_t stream) {
  return enqueue_on(stream, [=] { std::memmove(to, from, bytes); }), cudaSuccess;
}

// The first runs; the others capture.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  static bool is_first = true;
  *stream = std::exchange(is_first, false) ? &the_stream : new CUstream_st{enqueue_on};
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return delete stream, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::lock_guard lock(mutex);
  if (stream && stream->captured) return cudaErrorInvalidValue;
  for (const Launch& launch : enqueued) emulator::run_grid(launch.config, launch.thread);
  enqueued.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t) {
  std::lock_guard lock(mutex);
  return enqueued.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaDeviceSynchronize() { return cudaStreamSynchronize(nullptr); }

// Another stream is one of which nothing is known: what is to come before something there has to be over by then.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = nullptr, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t stream) {
  return stream == &the_stream ? cudaStreamSynchronize(stream) : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == &the_stream || stream->captured) return cudaErrorInvalidValue;
  return stream->captured = new CUgraph_st, cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream->captured) return cudaErrorInvalidValue;
  return *graph = std::exchange(stream->captured, nullptr), cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return *exec = new CUgraphExec_st{graph->launches}, cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  std::lock_guard lock(mutex);
  enqueued.insert(enqueued.end(), exec->launches.begin(), exec->launches.end());
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }
