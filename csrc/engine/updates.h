// Which updates of parameters in a program can be one launch on a device.
//
// Those that follow one another; and what stands between them may be products that update parameters of their own, as
// the weights of layers whose biases these are. All of them have to be independent: the later ones go first.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/device_program.h"

namespace fastnn::engine {

// Memory that a kernel reads, or writes as well.
struct Use {
  const std::byte *first, *last;
  bool writes;
};
using Uses = std::vector<Use>;

inline Use use_of(const void* memory, int64_t bytes, bool writes) {
  auto* first = static_cast<const std::byte*>(memory);
  return {first, memory ? first + bytes : first, writes};
}

inline Uses uses_of(const Sgd& s) {
  const int64_t bytes = s.count * item_size(s.dtype);
  return {use_of(s.param, bytes, true), use_of(s.velocity, bytes, true), use_of(s.grad, bytes, false)};
}

inline Uses uses_of(const Adam& a) {
  const int64_t bytes = a.count * item_size(a.dtype);
  return {use_of(a.param, bytes, true), use_of(a.exp_avg, bytes, true), use_of(a.exp_avg_sq, bytes, true),
          use_of(a.grad, bytes, false)};
}

// Of a product that updates a parameter.
inline Uses uses_of(const Product& p) {
  auto matrix = [&](const void* data, int64_t rows, int64_t row, int64_t columns, int64_t column) {
    const int64_t along_rows = (rows - 1) * row, along_columns = (columns - 1) * column;
    const int64_t low = std::min<int64_t>(along_rows, 0) + std::min<int64_t>(along_columns, 0);
    const int64_t high = std::max<int64_t>(along_rows, 0) + std::max<int64_t>(along_columns, 0);
    const int64_t size = item_size(p.dtype);
    return use_of(static_cast<const std::byte*>(data) + low * size, (high - low + 1) * size, false);
  };
  Uses uses = uses_of(p.update);
  uses.push_back(matrix(p.a, p.m, p.a_row, p.k, p.a_column));
  uses.push_back(matrix(p.b, p.k, p.b_row, p.n, p.b_column));
  return uses;
}

inline bool are_independent(const Uses& a, const Uses& b) {
  return std::none_of(a.begin(), a.end(), [&](const Use& x) {
    return std::any_of(b.begin(), b.end(),
                       [&](const Use& y) { return (x.writes || y.writes) && x.first < y.last && y.first < x.last; });
  });
}

// The nodes whose updates can be launched with that of node i, itself the first; none where node i is no Update.
template <class Update>
std::vector<size_t> updates_from(const std::vector<std::unique_ptr<Node>>& nodes, size_t i) {
  std::vector<size_t> together;
  std::vector<Uses> passed;  // by what is launched with node i
  DType dtype{};
  for (; i < nodes.size(); ++i) {
    if (const auto* update = dynamic_cast<const KernelLaunch<Update>*>(nodes[i].get())) {
      Uses uses = uses_of(update->arguments());
      if (together.empty()) dtype = update->arguments().dtype;
      if (update->arguments().dtype != dtype ||
          !std::all_of(passed.begin(), passed.end(), [&](const Uses& other) { return are_independent(uses, other); }))
        break;
      together.push_back(i);
      passed.push_back(std::move(uses));
    } else {
      const auto* product = dynamic_cast<const KernelLaunch<Product>*>(nodes[i].get());
      if (together.empty() || !product || !product->arguments().update.param) break;
      passed.push_back(uses_of(product->arguments()));
    }
  }
  return together;
}

}  // namespace fastnn::engine
