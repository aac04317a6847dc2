#include "engine/layer.h"

#include "engine/uses.h"

namespace fastnn::engine {
namespace {

template <class Arguments>
const Arguments* arguments_of(const Node& node) {
  auto* kernel = dynamic_cast<const KernelNode<Arguments>*>(&node);
  return kernel ? &kernel->arguments() : nullptr;
}

Use results_of(const Product& p) { return use_of(p.c, ((p.m - 1) * p.c_row + p.n) * item_size(p.dtype), true); }

// All but the rows of the left operand.
Uses operands_of(const Product& p) {
  return {use_of_matrix(p.b, p.dtype, p.k, p.b_row, p.n, p.b_column), use_of(p.bias, p.n * item_size(p.dtype), false)};
}

Use rows_of(const Product& p, bool writes) { return use_of(p.a, p.m * p.k * item_size(p.dtype), writes); }

Uses operands_of(const Gather& g) {
  return {use_of(g.data, ((g.rows - 1) * g.stride + g.width) * item_size(g.data_dtype), false),
          use_of(g.indices, g.count * static_cast<int64_t>(sizeof(int64_t)), false)};
}

Uses operands_of(const CrossEntropy& a) {
  const int64_t size = item_size(a.dtype);
  return {use_of(a.probabilities, a.rows * a.classes * size, false), use_of(a.weight, a.classes * size, false)};
}

Uses results_of(const CrossEntropy& a) {
  const int64_t size = item_size(a.dtype), losses = a.reduction == Reduction::none ? a.rows : 1;
  return {use_of(a.loss, losses * size, true), use_of(a.grad, a.rows * a.classes * size, true)};
}

// Whether `g` makes the left operand, and some of its rows may be made while others are used.
bool feeds(const Gather& g, const Product& p) {
  return g.out == p.a && g.out_dtype == p.dtype && g.count == p.m && g.width == p.k && p.a_column == 1 &&
         p.a_row == p.k && are_independent(operands_of(g), {results_of(p)}) &&
         are_independent({rows_of(p, true)}, operands_of(p));
}

// Whether the results are the logits of `a`, and some rows may have their loss while others are made, or gathered.
bool ends_in(const Product& p, const CrossEntropy& a) {
  Uses used = operands_of(p);
  used.push_back(rows_of(p, false));
  if (p.gather) used.push_back(operands_of(*p.gather)[0]);
  return p.c == a.logits && p.dtype == a.dtype && p.m == a.rows && p.n == a.classes && p.c_row == p.n &&
         p.a_column == 1 && p.a_row == p.k && are_independent(results_of(a), used) &&
         are_independent(operands_of(a), {results_of(p), rows_of(p, p.gather != nullptr)});
}

Use read_by(const Reading& r) {
  const int64_t last = (r.count - 1) * r.stride;
  return use_of(r.from + std::min<int64_t>(last, 0), std::max(last, -last) + r.size, false);
}

}  // namespace

std::vector<const Node*> with_layers(const std::vector<std::unique_ptr<Node>>& nodes,
                                     std::vector<std::unique_ptr<Node>>& made) {
  std::vector<const Node*> order;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Node* node = nodes[i].get();
    const Product* product = arguments_of<Product>(*node);
    if (!product || product->update.param) {
      order.push_back(node);
      continue;
    }
    Product layer = *product;
    const auto* before = order.empty() ? nullptr : arguments_of<Gather>(*order.back());
    if (before && feeds(*before, layer)) layer.gather = before;
    // Labels may be read before the layer, of which they are not made.
    const Uses made_by_layer{results_of(layer), rows_of(layer, layer.gather != nullptr)};
    size_t after = i + 1;
    for (; after < nodes.size(); ++after) {
      const auto* read = dynamic_cast<const ReadNode*>(nodes[after].get());
      if (!read || !are_independent(made_by_layer, {read_by(read->reading())})) break;
    }
    if (const auto* loss = after < nodes.size() ? arguments_of<CrossEntropy>(*nodes[after]) : nullptr;
        loss && ends_in(layer, *loss))
      layer.loss = loss;
    auto both = std::make_unique<KernelNode<Product>>(static_cast<const KernelNode<Product>*>(node)->kernel(), layer);
    const ProductChoice& choice = both->arguments().choice;
    if (!choice.gathers && !choice.has_loss) {
      order.push_back(node);
      continue;
    }
    if (choice.gathers) order.pop_back();
    if (choice.has_loss)
      for (++i; i < after; ++i) order.push_back(nodes[i].get());
    order.push_back(both.get());
    made.push_back(std::move(both));
  }
  return order;
}

}  // namespace fastnn::engine
