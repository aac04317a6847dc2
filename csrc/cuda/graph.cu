// Graphs, and what differs from step to step.
//
// While a graph is captured, what it does is noted (recording.h). For a small model it then becomes one kernel
// (resident.h), which is launched once for many steps.
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include "cuda/lane.h"
#include "cuda/launch.h"
#include "cuda/resident.h"
#include "cuda/slice.h"

namespace fastnn::cuda {

namespace {
thread_local Recording notes;
thread_local cudaStream_t capturing = nullptr;
}  // namespace

std::shared_mutex& captures() {
  static std::shared_mutex mutex;
  return mutex;
}

Recording& recording() { return notes; }

cudaStream_t current_stream() { return capturing ? capturing : device().stream; }

namespace {

struct Graph {
  cudaGraphExec_t kernels = nullptr;
  std::unique_ptr<ResidentSteps> resident;  // in place of them, for many steps

  ~Graph() {
    if (kernels) cudaGraphExecDestroy(kernels);
  }
};

// FASTNN_CUDA_RESIDENT=0 launches kernels one by one, always.
bool may_be_resident() {
  const char* text = std::getenv("FASTNN_CUDA_RESIDENT");
  return !text || std::strcmp(text, "0") != 0;
}

// Fewer steps at once are launched: memory is moved in and out each time, which takes as long as a few steps.
constexpr int64_t least_resident = 8;

// Without the memory for it, the graph does as well.
std::unique_ptr<ResidentSteps> resident_or_none(const Recording& of_graph) {
  try {
    return resident_steps(of_graph);
  } catch (const std::exception&) {
    return nullptr;
  }
}

void begin_graph() {
  device();
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "make a stream");
  captures().lock_shared();
  cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed);
  if (error != cudaSuccess) captures().unlock_shared(), cudaStreamDestroy(stream);
  check(error, "begin a graph");
  capturing = stream;
  notes = {};
  notes.is_open = true;
}

void* end_graph() {
  const Recording of_graph = std::exchange(notes, {});
  const cudaStream_t stream = std::exchange(capturing, nullptr);
  cudaGraph_t captured;
  cudaError_t error = cudaStreamEndCapture(stream, &captured);
  captures().unlock_shared();
  cudaStreamDestroy(stream);
  check(error, "end a graph");
  const std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, cudaError_t (*)(cudaGraph_t)> owner(captured,
                                                                                                cudaGraphDestroy);
  auto graph = std::make_unique<Graph>();
  check(cudaGraphInstantiate(&graph->kernels, captured, 0), "prepare a graph");
  if (may_be_resident()) graph->resident = resident_or_none(of_graph);
  return graph.release();
}

void launch_graph(void* made, int64_t times) {
  const Graph& graph = *static_cast<Graph*>(made);
  if (graph.resident && times >= least_resident) return graph.resident->launch(times);
  for (int64_t i = 0; i < times; ++i) check(cudaGraphLaunch(graph.kernels, device().stream), "launch a graph");
}

void release_graph(void* graph) { delete static_cast<Graph*>(graph); }

// ---- what differs from step to step ---------------------------------------------------------------------------------

template <class Word>
FASTNN_KERNEL(256)
copy_kernel(const __grid_constant__ Slice slice) {
  copy_words<Word>(slice);
}

void copy_slice(const Slice& slice) {
  const Noting noting(&slice);
  with_word(slice, [&]<class Word>(Word) {
    launch(copy_kernel<Word>, geometry_of(slice.bytes / static_cast<int64_t>(sizeof(Word))), slice);
  });
}

FASTNN_KERNEL(256) increment_one(int64_t* index) { ++*index; }

}  // namespace

void fill_graphs(DeviceBackend& backend) {
  backend.begin_graph = begin_graph;
  backend.end_graph = end_graph;
  backend.launch_graph = launch_graph;
  backend.release_graph = release_graph;
  backend.copy_slice = [](void* to, const void* from, int64_t bytes, const int64_t* index) {
    copy_slice({to, from, bytes, nullptr, index});
  };
  backend.copy_to_slice = [](void* to, const void* from, int64_t bytes, const int64_t* index) {
    copy_slice({to, from, bytes, index, nullptr});
  };
  backend.increment = [](int64_t* index) {
    const Increment increment{index};
    const Noting noting(&increment);
    launch(increment_one, {1, 1}, index);
  };
}

}  // namespace fastnn::cuda
