// A program whose kernels run on a device: a step is a graph, launched again and again.
//
// Nodes that the CPU runs (a function in Python, labels that a kernel has made) cut a step into several graphs, and
// wait for what comes before them. Without any, nothing of a run is waited for but its end.
//
// Updates of parameters are one launch: updates.h.
//
// What varies from step to step (scalars, rows of the data, labels) lies in one block. The CPU reads and checks all of
// it before the first step is launched, as a table; each step begins by copying its row of the table into the block.
#pragma once

#include <exception>
#include <memory>
#include <type_traits>
#include <vector>

#include "engine/node.h"
#include "kernels/dispatch.h"

namespace fastnn::engine {

struct Steps;

// A node of a device: to run it is to enqueue it.
class LaunchNode : public Node {};

// The scalars of a kernel that vary from step to step: calls function(place) on each place where one is read.
template <class Arguments, class Function>
void each_scalar(Arguments& arguments, Function function) {
  if constexpr (std::is_same_v<Arguments, Sgd>) {
    if (arguments.param) function(arguments.lr);
  } else if constexpr (std::is_same_v<Arguments, Product>) {
    each_scalar(arguments.update, function);
  } else if constexpr (std::is_same_v<Arguments, Adam>) {
    function(arguments.lr), function(arguments.correction1), function(arguments.correction2);
  } else if constexpr (std::is_same_v<Arguments, Random>) {
    function(arguments.step);
  }
}

// A kernel of a device bound to its arguments, whose scalars lie on the device.
template <class Arguments>
class KernelLaunch final : public LaunchNode {
 public:
  KernelLaunch(const DeviceKernel<Arguments>& kernel, const Arguments& arguments)
      : kernel_(kernel), arguments_(arguments) {}
  Work work() const override { return {1, {1}, {0}, kernel_.workspace ? kernel_.workspace(arguments_) : 0, 0}; }
  void run(int, int64_t, int64_t, std::byte* workspace, std::byte*) const override {
    kernel_.launch(arguments_, workspace);
  }
  const Arguments& arguments() const { return arguments_; }

 private:
  DeviceKernel<Arguments> kernel_;
  Arguments arguments_;
};

class DeviceProgram {
 public:
  explicit DeviceProgram(const DeviceBackend& device);
  ~DeviceProgram();

  // Where a kernel reads the scalar that the CPU has at `place`; the same for the same place.
  const double* scalar(const double* place);
  // Memory for integers, which may be read ahead of a step.
  int64_t* integers(int64_t count);

  void run(const std::vector<std::unique_ptr<Node>>& nodes, const std::vector<View>& outputs, const Steps& steps,
           int threads);

 private:
  // A part of the block, and its table: `used` bytes for each step.
  struct Part {
    Buffer block, table;
    int64_t used, size;
  };
  struct Scalar {
    const double* place;
    std::byte* on_device;
  };
  // Integers that are known before a step: rows as they are given to a run, or what is gathered by these.
  struct Ahead {
    const ReadNode* node;
    int64_t first;         // of rows: the first among those of a step
    const Gather* gather;  // null for rows
  };
  // What runs in turn: a graph, or a node on the CPU.
  struct Stage {
    void* graph;
    const Node* node;
  };

  Buffer allocate(int64_t bytes) const { return Buffer(device_.allocate(bytes), device_.release); }
  std::byte* varying(int64_t bytes);
  bool is_ahead(const std::vector<std::unique_ptr<Node>>& nodes, size_t i, const Steps& steps);
  void build(const std::vector<std::unique_ptr<Node>>& nodes, const std::vector<View>& outputs, const Steps& steps);
  void release_graphs();
  // Makes the tables for the steps of which all integers are right, and gives their number; else, what is wrong.
  int64_t fill_tables(const Steps& steps, std::exception_ptr& error) const;

  const DeviceBackend& device_;
  std::vector<Part> parts_;
  std::vector<Scalar> scalars_;
  Buffer index_;  // the number of the step
  // For runs of at most `capacity_` steps of so many nodes, whose rows are found at `rows_to_`:
  int64_t capacity_ = 0;
  size_t nodes_ = 0;
  const int64_t* rows_to_ = nullptr;
  std::vector<Ahead> ahead_;
  std::vector<Stage> stages_;
  std::vector<Buffer> results_;  // an output's, of each step; none where the output is the CPU's
  Buffer workspace_;
};

}  // namespace fastnn::engine
