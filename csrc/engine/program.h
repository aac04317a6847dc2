// A program: the calls of a training step, kept with their arguments, run again and again without Python.
//
// It is made by recording: an entry point of csrc/eager whose Call names a program checks its arguments as ever, and
// adds its kernels to the program instead of running them. Arguments point into memory that its maker laid out once.
#pragma once

#include <memory>
#include <vector>

#include "engine/device_program.h"

namespace fastnn::engine {

// What differs from one step to the next, and what is read after each.
struct Steps {
  int64_t count = 0;
  const int64_t* rows = nullptr;  // (count, rows_each): copied to rows_to before each step
  int64_t rows_each = 0;
  int64_t* rows_to = nullptr;
  std::vector<double*> slots;      // set before each step
  const double* values = nullptr;  // (count, slots)
  double* results = nullptr;       // (count, outputs)
};

class Program {
 public:
  // `outputs` hold one element each.
  explicit Program(std::vector<View> outputs) : outputs_(std::move(outputs)) {}

  void add(std::unique_ptr<Node> node);
  // Memory that lives as long as the program, on a device where one is given.
  std::byte* own(int64_t bytes, const DeviceBackend* device = nullptr);
  const double* number(double value);  // where a scalar that never changes is read
  // How it runs on `device`, once one of its kernels does.
  DeviceProgram& on(const DeviceBackend& device);

  // Runs whole steps. What a node throws ends the run within a step: nothing after that node has happened.
  void run(const Steps& steps, int threads);

  int64_t nodes() const { return static_cast<int64_t>(nodes_.size()); }

 private:
  void plan(int threads);

  std::vector<View> outputs_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Buffer> owned_;
  std::vector<std::unique_ptr<double>> numbers_;
  // For the latest number of threads.
  std::vector<std::unique_ptr<Node>> made_;
  std::vector<Job> jobs_;
  int threads_ = 0;
  Buffer memory_;
  std::unique_ptr<DeviceProgram> device_;
};

double number_at(const View& view);  // of one element

}  // namespace fastnn::engine
