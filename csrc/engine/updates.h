// Which updates of parameters in a program can be one launch on a device.
//
// Those that follow one another; and what stands between them may be products that update parameters of their own, as
// the weights of layers whose biases these are. All of them have to be independent: the later ones go first.
#pragma once

#include <memory>

#include "engine/device_program.h"
#include "engine/uses.h"

namespace fastnn::engine {

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
  Uses uses = uses_of(p.update);
  uses.push_back(use_of_matrix(p.a, p.dtype, p.m, p.a_row, p.k, p.a_column));
  uses.push_back(use_of_matrix(p.b, p.dtype, p.k, p.b_row, p.n, p.b_column));
  return uses;
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
