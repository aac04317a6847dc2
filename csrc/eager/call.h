// One kernel, called now: what every entry point of csrc/eager is told, and how it runs a kernel.
#pragma once

#include <algorithm>

#include "array/buffer.h"
#include "kernels/dispatch.h"
#include "team/team.h"

namespace fastnn {

struct Call {
  const char* op;   // the operation's name, for messages
  int threads = 0;  // 0: num_threads()
  // Wraps work of more than a few microseconds; bindings let other Python threads run meanwhile. May be null.
  void (*around)(void (*work)(void*), void* context) = nullptr;
};

// What one thread must have to do before another is worth waking, and when the wrapper is worth calling.
inline constexpr double nanoseconds_per_thread = 6000, nanoseconds_to_wrap = 10000;

template <class Arguments>
void execute(const Call& call, const Kernel<Arguments>& kernel, const Arguments& arguments) {
  struct Job {
    const Kernel<Arguments>* kernel;
    const Arguments* arguments;
    Work work;
    int threads, phase;
    int64_t scratch_each;
    std::byte *workspace, *scratch;
  };
  Work work = kernel.work(arguments);
  Job job{&kernel, &arguments, work, call.threads > 0 ? call.threads : num_threads(), 0, 0, nullptr, nullptr};
  double total = 0;
  for (int phase = 0; phase < work.phases; ++phase) total += static_cast<double>(work.items[phase]) * work.cost[phase];
  job.threads = std::max(1, std::min(job.threads, static_cast<int>(std::min(total / nanoseconds_per_thread, 1e4))));
  int64_t workspace_bytes = (work.workspace + alignment - 1) / alignment * alignment;
  job.scratch_each = (work.scratch + alignment - 1) / alignment * alignment;
  Buffer memory;
  if (workspace_bytes + job.scratch_each > 0) memory = Buffer(workspace_bytes + job.scratch_each * job.threads);
  job.workspace = memory.data(), job.scratch = memory.data() + workspace_bytes;

  auto run = [](void* context) {
    Job& job = *static_cast<Job*>(context);
    for (job.phase = 0; job.phase < job.work.phases; ++job.phase) {
      int64_t items = job.work.items[job.phase];
      double cost = static_cast<double>(items) * job.work.cost[job.phase];
      int threads = cost < 2 * nanoseconds_per_thread ? 1 : job.threads;
      auto task = [](void* context, int64_t first, int64_t last, int worker) {
        Job& job = *static_cast<Job*>(context);
        job.kernel->run(*job.arguments, job.phase, first, last, job.workspace, job.scratch + worker * job.scratch_each);
      };
      run_on_team(items, threads, task, &job);
    }
  };
  if (call.around && total > nanoseconds_to_wrap) call.around(run, &job);
  else run(&job);
}

}  // namespace fastnn
