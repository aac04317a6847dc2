#include <optional>
#include <vector>

#include "eager/eager.h"

namespace fastnn::eager {
namespace {

// `x` with its axes in another order.
View permuted(const View& x, const std::vector<int>& order) {
  View view{x.data, x.dtype, x.rank, {}, {}};
  for (int i = 0; i < x.rank; ++i) {
    view.shape[i] = x.shape[order[static_cast<size_t>(i)]];
    view.strides[i] = x.strides[order[static_cast<size_t>(i)]];
  }
  return view;
}

}  // namespace

void reduce(const Call& call, const Kernel<Reduce>& kernel, Reducing kind, Argument x,
            const std::optional<std::vector<int64_t>>& axes, bool keepdims, Output& output) {
  const View& view = x.view;
  switch (kind) {
    case Reducing::sum: require_dtype(call, x, {DType::float32, DType::float64, DType::int64, DType::boolean}); break;
    case Reducing::mean: require_dtype(call, x, {DType::float32, DType::float64}); break;
    case Reducing::extreme:
    case Reducing::position: require_dtype(call, x, {DType::float32, DType::float64, DType::int64}); break;
  }
  DType result = kind == Reducing::position || !is_floating(view.dtype) ? DType::int64 : view.dtype;
  bool reduced[max_rank] = {};
  if (!axes) std::fill_n(reduced, view.rank, true);
  else
    for (int64_t axis : *axes) {
      int at = require_axis(call, x, axis);
      if (reduced[at]) raise<ValueError>(call.op, "axis = ", axis, " is named twice");
      reduced[at] = true;
    }
  int64_t shape[max_rank], count = 1;
  int rank = 0;
  std::vector<int> order, last;
  for (int i = 0; i < view.rank; ++i) {
    if (reduced[i]) count *= view.shape[i];
    if (!reduced[i] || keepdims) shape[rank++] = reduced[i] ? 1 : view.shape[i];
    (reduced[i] ? last : order).push_back(i);
  }
  if (count == 0 && kind != Reducing::sum) raise<ValueError>(call.op, "nothing to reduce: x has shape ", ShapeOf(view));
  View out = output.place(call, result, rank, shape);
  require_contiguous(call, {out, "out"});
  require_apart(call, out, {&x});

  // Where the reduced axes are neighbours, x is (outer, extent, inner) as it stands; else they are moved to the end.
  Reduce arguments{view.dtype, 1, count, 1, nullptr, out.data};
  int first = last.empty() ? view.rank : last.front();
  bool neighbours = last.empty() || last.back() - first + 1 == static_cast<int>(last.size());
  for (int i = 0; i < view.rank; ++i)
    if (!reduced[i]) (neighbours && i > first ? arguments.inner : arguments.outer) *= view.shape[i];
  if (arguments.outer == 0 || arguments.inner == 0) return;
  View source = view;
  if (!neighbours) {
    order.insert(order.end(), last.begin(), last.end());
    source = permuted(view, order);
  }
  Buffer memory;
  arguments.x = made_contiguous(call, source, memory).data;
  execute(call, kernel, arguments);
}

void softmax(const Call& call, const Kernel<Rows>& kernel, const Argument* grad, Argument x, int64_t axis,
             Output& output) {
  require_dtype(call, x, {DType::float32, DType::float64});
  const View& view = x.view;
  if (view.rank == 0) raise<ValueError>(call.op, x.name, " must have at least 1 dimension");
  int at = require_axis(call, x, axis);
  if (view.shape[at] == 0) raise<ValueError>(call.op, "nothing to reduce: ", x.name, " has shape ", ShapeOf(view));
  if (grad) {
    require_same_dtype(call, *grad, x);
    require_same_shape(call, *grad, x);
  }
  View out = output.place(call, view.dtype, view.rank, view.shape);
  require_contiguous(call, {out, "out"});
  require_apart(call, out, {&x, grad});
  int64_t count = count_of(view);
  if (count == 0) return;

  // Rows are slices along the last axis; another axis is moved there and back.
  std::vector<int> order;
  for (int i = 0; i < view.rank; ++i)
    if (i != at) order.push_back(i);
  order.push_back(at);
  Buffer x_memory, grad_memory, out_memory;
  Rows rows{view.dtype, count / view.shape[at], view.shape[at], nullptr, nullptr, out.data};
  rows.x = made_contiguous(call, permuted(view, order), x_memory).data;
  if (grad) rows.grad = made_contiguous(call, permuted(grad->view, order), grad_memory).data;
  View turned = permuted(out, order);
  if (is_contiguous(turned)) return execute(call, kernel, rows);
  View whole =
      contiguous_view(take(call, count * item_size(out.dtype), out_memory), out.dtype, turned.rank, turned.shape);
  rows.out = whole.data;
  execute(call, kernel, rows);
  copy(call, whole, turned);
}

}  // namespace fastnn::eager
