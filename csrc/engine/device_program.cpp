#include "engine/device_program.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "array/error.h"
#include "engine/program.h"
#include "engine/updates.h"

namespace fastnn::engine {

namespace {

constexpr int64_t part_bytes = int64_t{1} << 16;  // at least: what varies is seldom more, and then one copy brings all

}  // namespace

DeviceProgram::DeviceProgram(const DeviceBackend& device) : device_(device), index_(allocate(sizeof(int64_t))) {}

DeviceProgram::~DeviceProgram() { release_graphs(); }

void DeviceProgram::release_graphs() {
  for (const Stage& stage : stages_)
    if (stage.graph) device_.release_graph(stage.graph);
  stages_.clear();
  capacity_ = 0;
}

std::byte* DeviceProgram::varying(int64_t bytes) {
  if (parts_.empty() || parts_.back().used + bytes > parts_.back().size) {
    const int64_t size = std::max(bytes, part_bytes);
    parts_.push_back({allocate(size), {}, 0, size});
  }
  Part& part = parts_.back();
  part.used += bytes;
  return part.block.data() + part.used - bytes;
}

const double* DeviceProgram::scalar(const double* place) {
  for (const Scalar& known : scalars_)
    if (known.place == place) return reinterpret_cast<const double*>(known.on_device);
  scalars_.push_back({place, varying(sizeof(double))});
  return reinterpret_cast<const double*>(scalars_.back().on_device);
}

int64_t* DeviceProgram::integers(int64_t count) { return reinterpret_cast<int64_t*>(varying(count * 8)); }

bool DeviceProgram::is_ahead(const std::vector<std::unique_ptr<Node>>& nodes, size_t i, const Steps& steps) {
  const auto* node = dynamic_cast<const ReadNode*>(nodes[i].get());
  if (!node) return false;
  const Reading& reading = node->reading();
  if (reading.stride != reading.size || std::none_of(parts_.begin(), parts_.end(), [&](const Part& part) {
        auto* to = reinterpret_cast<const std::byte*>(reading.to);
        return part.block.data() <= to && to < part.block.data() + part.used;
      }))
    return false;
  const auto* from = reinterpret_cast<const int64_t*>(reading.from);
  const auto first =
      static_cast<uint64_t>(reinterpret_cast<intptr_t>(from) - reinterpret_cast<intptr_t>(steps.rows_to)) / 8;
  const auto each = static_cast<uint64_t>(steps.rows_each), count = static_cast<uint64_t>(reading.count);
  if (steps.rows_to && reading.size == 8 && first < each && count <= each - first) {
    ahead_.push_back({node, static_cast<int64_t>(first), nullptr});
    return true;
  }
  // What is gathered by rows goes into a batch, which no other kernel changes.
  for (size_t j = i; j-- > 0;) {
    const auto* launch = dynamic_cast<const KernelLaunch<Gather>*>(nodes[j].get());
    if (!launch || launch->arguments().out != reading.from) continue;
    const Gather& gather = launch->arguments();
    bool by_rows = std::any_of(ahead_.begin(), ahead_.end(), [&](const Ahead& rows) {
      return !rows.gather && rows.node->reading().to == gather.indices;
    });
    if (!by_rows || gather.width != 1 || gather.count != reading.count || gather.data_dtype != gather.out_dtype ||
        item_size(gather.out_dtype) != reading.size)
      return false;
    ahead_.push_back({node, 0, &gather});
    return true;
  }
  return false;
}

void DeviceProgram::build(const std::vector<std::unique_ptr<Node>>& nodes, const std::vector<View>& outputs,
                          const Steps& steps) {
  const int64_t capacity = std::max(steps.count, 2 * capacity_);  // calls tend to grow
  release_graphs();
  ahead_.clear();
  results_.clear();
  int64_t workspace = 0;
  for (const auto& node : nodes)
    if (dynamic_cast<const LaunchNode*>(node.get())) workspace = std::max(workspace, node->work().workspace);
  workspace_ = allocate(workspace);
  for (Part& part : parts_) part.table = allocate(capacity * part.used);
  for (const View& output : outputs)
    results_.push_back(device_.owns(output.data) ? allocate(capacity * item_size(output.dtype)) : Buffer());

  bool open = false;
  auto enqueue = [&](auto function) {
    if (!open) device_.begin_graph();
    open = true;
    function();
  };
  auto close = [&] {
    if (std::exchange(open, false)) stages_.push_back({device_.end_graph(), nullptr});
  };
  auto* index = reinterpret_cast<int64_t*>(index_.data());
  std::vector<bool> is_launched(nodes.size());
  // Launches the updates that can go with that of node i, where there are several.
  auto launch_updates = [&]<class Update>(size_t i, void (*launch)(const Update*, int64_t)) {
    const std::vector<size_t> together = updates_from<Update>(nodes, i);
    if (together.size() < 2) return;
    std::vector<Update> updates;
    for (size_t each : together) {
      updates.push_back(static_cast<const KernelLaunch<Update>&>(*nodes[each]).arguments());
      is_launched[each] = true;
    }
    enqueue([&] { launch(updates.data(), static_cast<int64_t>(updates.size())); });
  };
  try {
    for (Part& part : parts_)
      enqueue([&] { device_.copy_slice(part.block.data(), part.table.data(), part.used, index); });
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (!is_launched[i]) launch_updates(i, device_.sgd_updates), launch_updates(i, device_.adam_updates);
      if (is_launched[i]) continue;
      if (dynamic_cast<const LaunchNode*>(nodes[i].get())) {
        enqueue([&] { nodes[i]->run(0, 0, 1, workspace_.data(), nullptr); });
      } else if (!is_ahead(nodes, i, steps)) {
        close();
        stages_.push_back({nullptr, nodes[i].get()});
      }
    }
    for (size_t i = 0; i < outputs.size(); ++i)
      if (std::byte* results = results_[i].data())
        enqueue([&] { device_.copy_to_slice(results, outputs[i].data, item_size(outputs[i].dtype), index); });
    enqueue([&] { device_.increment(index); });
    close();
  } catch (...) {
    try {
      close();
    } catch (const std::exception&) {  // what went wrong first is told
    }
    release_graphs();
    throw;
  }
  capacity_ = capacity, nodes_ = nodes.size(), rows_to_ = steps.rows_to;
}

int64_t DeviceProgram::fill_tables(const Steps& steps, std::exception_ptr& error) const {
  std::vector<Buffer> tables;
  for (const Part& part : parts_) tables.emplace_back(steps.count * part.used);
  // Where in its row of a table stands what a kernel reads at `on_device`.
  auto place = [&](int64_t step, const void* on_device) {
    auto* address = static_cast<const std::byte*>(on_device);
    for (size_t i = 0;; ++i)
      if (std::byte* block = parts_[i].block.data(); block <= address && address < block + parts_[i].used)
        return tables[i].data() + step * parts_[i].used + (address - block);
  };

  const size_t slots = steps.slots.size();
  for (const Scalar& scalar : scalars_) {
    auto slot =
        static_cast<size_t>(std::find(steps.slots.begin(), steps.slots.end(), scalar.place) - steps.slots.begin());
    for (int64_t step = 0; step < steps.count; ++step) {
      double value = slot < slots ? steps.values[static_cast<size_t>(step) * slots + slot] : *scalar.place;
      std::memcpy(place(step, scalar.on_device), &value, sizeof(double));
    }
  }
  int64_t step = 0;
  std::vector<std::byte> gathered;
  try {
    for (; step < steps.count; ++step)
      for (const Ahead& ahead : ahead_) {
        Reading reading = ahead.node->reading();
        reading.to = reinterpret_cast<int64_t*>(place(step, reading.to));
        if (const Gather* gather = ahead.gather) {
          const auto* rows = reinterpret_cast<const int64_t*>(place(step, gather->indices));
          gathered.resize(static_cast<size_t>(reading.count * reading.size));
          for (int64_t i = 0; i < reading.count; ++i)
            std::memcpy(gathered.data() + i * reading.size,
                        static_cast<const std::byte*>(gather->data) + rows[i] * gather->stride * reading.size,
                        static_cast<size_t>(reading.size));
          reading.from = gathered.data();
        } else {
          reading.from = reinterpret_cast<const std::byte*>(steps.rows + step * steps.rows_each + ahead.first);
        }
        ahead.node->read(reading);
      }
  } catch (...) {
    error = std::current_exception();
  }
  for (size_t i = 0; i < parts_.size(); ++i)
    if (step > 0) device_.copy(parts_[i].table.data(), tables[i].data(), step * parts_[i].used);
  return step;
}

void DeviceProgram::run(const std::vector<std::unique_ptr<Node>>& nodes, const std::vector<View>& outputs,
                        const Steps& steps, int threads) {
  if (steps.count == 0) return;
  if (steps.count > capacity_ || nodes.size() != nodes_ || steps.rows_to != rows_to_) {
    try {
      build(nodes, outputs, steps);
    } catch (const DeviceError&) {  // whoever waits for the whole device meanwhile ends the making of a graph
      build(nodes, outputs, steps);
    }
  }
  device_.synchronize();  // labels are read from its memory
  std::exception_ptr error;
  const int64_t count = fill_tables(steps, error);
  const int64_t first = 0;
  device_.copy(index_.data(), &first, sizeof(first));

  std::vector<Job> jobs;
  int64_t most = 0;
  for (const Stage& stage : stages_) {
    if (!stage.node) continue;
    jobs.emplace_back(*stage.node, threads, nanoseconds_in_a_program);
    most = std::max(most, jobs.back().memory());
  }
  Buffer memory(most);
  const size_t slots = steps.slots.size(), width = outputs.size();
  FloatEnvironment environment;
  const bool at_once = stages_.size() == 1;  // the last one is a graph: nothing of a step is the CPU's
  try {
    if (at_once && count > 0) device_.launch_graph(stages_.front().graph, count);
    for (int64_t step = 0; step < count; ++step) {
      if (steps.rows_to)
        std::memcpy(steps.rows_to, steps.rows + step * steps.rows_each, static_cast<size_t>(steps.rows_each) * 8);
      for (size_t i = 0; i < slots; ++i) *steps.slots[i] = steps.values[static_cast<size_t>(step) * slots + i];
      auto job = jobs.begin();
      for (const Stage& stage : stages_) {
        if (stage.graph) {
          if (!at_once) device_.launch_graph(stage.graph, 1);
        } else {
          device_.synchronize();
          (job++)->run(memory.data());
        }
      }
      for (size_t i = 0; i < width; ++i)
        if (!results_[i].data()) steps.results[static_cast<size_t>(step) * width + i] = number_at(outputs[i]);
    }
  } catch (...) {
    device_.synchronize();
    throw;
  }
  device_.synchronize();
  for (size_t i = 0; i < width; ++i) {
    if (!results_[i].data()) continue;
    View result = outputs[i];
    for (int64_t step = 0; step < count; ++step) {
      result.data = results_[i].data() + step * item_size(result.dtype);
      steps.results[static_cast<size_t>(step) * width + i] = number_at(result);
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace fastnn::engine
