#include "engine/program.h"

#include <cstring>

#include "engine/chain.h"
#include "engine/layer.h"

namespace fastnn::engine {

namespace {

template <class T>
double read_as(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof(T));
  return static_cast<double>(value);
}

}  // namespace

double number_at(const View& view) {
  switch (view.dtype) {
    case DType::float32: return read_as<float>(view.data);
    case DType::float64: return read_as<double>(view.data);
    case DType::int64: return read_as<int64_t>(view.data);
    case DType::int32: return read_as<int32_t>(view.data);
    case DType::uint8:
    case DType::boolean: return read_as<uint8_t>(view.data);
    case DType::float16: break;  // no result has it
  }
  return 0;
}

void Program::add(std::unique_ptr<Node> node) {
  nodes_.push_back(std::move(node));
  threads_ = 0;
}

std::byte* Program::own(int64_t bytes, const DeviceBackend* device) {
  owned_.push_back(device ? Buffer(device->allocate(bytes), device->release) : Buffer(bytes));
  return owned_.back().data();
}

const double* Program::number(double value) {
  numbers_.push_back(std::make_unique<double>(value));
  return numbers_.back().get();
}

DeviceProgram& Program::on(const DeviceBackend& device) {
  if (!device_) device_ = std::make_unique<DeviceProgram>(device);
  return *device_;
}

// Layers take their neighbours in, and elementwise kernels that follow each other become chains.
void Program::plan(int threads) {
  jobs_.clear();
  made_.clear();
  int64_t most = 0;
  const std::vector<const Node*> order = with_layers(nodes_, made_);
  for (size_t i = 0, next; i < order.size(); i = next) {
    auto chain = std::make_unique<Chain>();
    for (next = i; next < order.size() && chain->extend(*order[next]);) ++next;
    next = std::max(next, i + 1);
    bool is_chain = next > i + 1;
    jobs_.emplace_back(is_chain ? *chain : *order[i], threads, nanoseconds_in_a_program);
    most = std::max(most, jobs_.back().memory());
    if (is_chain) made_.push_back(std::move(chain));
  }
  memory_ = Buffer(most);
  threads_ = threads;
}

void Program::run(const Steps& steps, int threads) {
  if (device_) return device_->run(nodes_, outputs_, steps, threads);
  if (threads != threads_) plan(threads);
  size_t slots = steps.slots.size();
  const double* values = steps.values;
  double* results = steps.results;
  FloatEnvironment environment;
  for (int64_t step = 0; step < steps.count; ++step) {
    if (steps.rows_to)
      std::memcpy(steps.rows_to, steps.rows + step * steps.rows_each, static_cast<size_t>(steps.rows_each) * 8);
    for (size_t i = 0; i < slots; ++i) *steps.slots[i] = *values++;
    for (const Job& job : jobs_) job.run(memory_.data());
    for (const View& output : outputs_) *results++ = number_at(output);
  }
}

}  // namespace fastnn::engine
