// A kernel bound to its arguments, and how it runs on the team: at once, for an eager call, or in each step of a
// program.
#pragma once

#include <algorithm>

#include "array/buffer.h"
#include "kernels/kernels.h"
#include "team/float_environment.h"
#include "team/team.h"

namespace fastnn::engine {

class Node {
 public:
  virtual ~Node() = default;
  virtual Work work() const = 0;
  // Runs items [first, last) of a phase. Only a node of a single item may throw: that one runs on the caller's thread.
  virtual void run(int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) const = 0;
};

template <class Arguments>
class KernelNode final : public Node {
 public:
  KernelNode(const Kernel<Arguments>& kernel, const Arguments& arguments) : kernel_(kernel), arguments_(arguments) {
    if (kernel_.choose) kernel_.choose(arguments_);
  }
  Work work() const override { return kernel_.work(arguments_); }
  void run(int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) const override {
    kernel_.run(arguments_, phase, first, last, workspace, scratch);
  }
  const Kernel<Arguments>& kernel() const { return kernel_; }
  const Arguments& arguments() const { return arguments_; }

 private:
  Kernel<Arguments> kernel_;
  Arguments arguments_;
};

// Integers as the CPU reads them: at `from`, `count` of them, each `stride` bytes from the one before.
struct Reading {
  const std::byte* from;
  int size;  // bytes of one
  int64_t count, stride;
  int64_t* to;
};

// Reads integers and checks them, before kernels use them.
class ReadNode : public Node {
 public:
  explicit ReadNode(const Reading& reading) : reading_(reading) {}
  const Reading& reading() const { return reading_; }
  // The same of other integers, of the same kind; throws where one of them is wrong.
  virtual void read(const Reading& reading) const = 0;
  Work work() const override { return {1, {1}, {static_cast<double>(reading_.count)}, 0, 0}; }
  void run(int, int64_t, int64_t, std::byte*, std::byte*) const override { read(reading_); }

 private:
  Reading reading_;
};

// What a thread must have to do to be worth its while: waking one that may be parked costs an eager call more than a
// program, whose threads wait for the next phase.
inline constexpr double nanoseconds_for_a_call = 6000, nanoseconds_in_a_program = 1500;

// A node with what is decided once: how many threads each phase is worth, and the memory it takes.
class Job {
 public:
  Job(const Node& node, int threads, double nanoseconds_per_thread) : node_(&node), work_(node.work()) {
    for (int phase = 0; phase < work_.phases; ++phase) {
      double cost = static_cast<double>(work_.items[phase]) * work_.cost[phase];
      cost_ += cost;
      // A phase that is worth less than two threads stays on the caller's.
      double worth = cost < 2 * nanoseconds_per_thread ? 1 : cost / nanoseconds_per_thread;
      threads_[phase] = static_cast<int>(std::min<double>({worth, static_cast<double>(threads), 1e4}));
      most_ = std::max(most_, threads_[phase]);
    }
    workspace_ = (work_.workspace + alignment - 1) / alignment * alignment;
    scratch_ = (work_.scratch + alignment - 1) / alignment * alignment;
  }

  double cost() const { return cost_; }  // nanoseconds on one core, roughly
  int64_t memory() const { return workspace_ + scratch_ * most_; }

  // `memory` is of memory() bytes and nobody else's meanwhile. The caller sees to the FloatEnvironment.
  void run(std::byte* memory) const {
    std::byte* scratch = memory + workspace_;
    for (int phase = 0; phase < work_.phases; ++phase) {
      if (threads_[phase] == 1) {
        node_->run(phase, 0, work_.items[phase], memory, scratch);
        continue;
      }
      struct Share {
        const Job* job;
        int phase;
        std::byte *workspace, *scratch;
      } share{this, phase, memory, scratch};
      auto task = [](void* context, int64_t first, int64_t last, int worker) {
        const Share& s = *static_cast<Share*>(context);
        s.job->node_->run(s.phase, first, last, s.workspace, s.scratch + worker * s.job->scratch_);
      };
      run_on_team(work_.items[phase], threads_[phase], task, &share);
    }
  }

 private:
  const Node* node_;
  Work work_;
  int threads_[max_phases] = {1, 1, 1}, most_ = 1;
  int64_t workspace_ = 0, scratch_ = 0;
  double cost_ = 0;
};

}  // namespace fastnn::engine
