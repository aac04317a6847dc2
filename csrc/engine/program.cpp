#include "engine/program.h"

#include <cstring>

namespace fastnn::engine {

void Program::add(std::unique_ptr<Node> node) {
  nodes_.push_back(std::move(node));
  threads_ = 0;
}

std::byte* Program::own(int64_t bytes) {
  owned_.emplace_back(bytes);
  return owned_.back().data();
}

const double* Program::number(double value) {
  numbers_.push_back(std::make_unique<double>(value));
  return numbers_.back().get();
}

void Program::run(const Steps& steps, int threads) {
  if (threads != threads_) {
    jobs_.clear();
    int64_t most = 0;
    for (const auto& node : nodes_) {
      jobs_.emplace_back(*node, threads);
      most = std::max(most, jobs_.back().memory());
    }
    memory_ = Buffer(most);
    threads_ = threads;
  }
  size_t slots = steps.slots.size();
  const double* values = steps.values;
  double* results = steps.results;
  FloatEnvironment environment;
  for (int64_t step = 0; step < steps.count; ++step) {
    if (steps.rows_to)
      std::memcpy(steps.rows_to, steps.rows + step * steps.rows_each, static_cast<size_t>(steps.rows_each) * 8);
    for (size_t i = 0; i < slots; ++i) *steps.slots[i] = *values++;
    for (const Job& job : jobs_) job.run(memory_.data());
    for (const View& output : outputs_) {
      *results++ = output.dtype == DType::float32 ? static_cast<double>(*reinterpret_cast<const float*>(output.data))
                                                  : *reinterpret_cast<const double*>(output.data);
    }
  }
}

}  // namespace fastnn::engine
