#include "eager/eager.h"

namespace fastnn::eager {
namespace {

void require_types(const Call& call, Types types, const Argument& x) {
  switch (types) {
    case Types::arithmetic: return require_dtype(call, x, {DType::float32, DType::float64, DType::int64});
    case Types::floating: return require_dtype(call, x, {DType::float32, DType::float64});
    case Types::comparison:
    case Types::selection: return;
  }
}

// `view` seen in a shape it broadcasts to.
View expanded(const View& view, int rank, const int64_t* shape) {
  View wide{view.data, view.dtype, rank, {}, {}};
  for (int i = 0; i < rank; ++i) {
    int own = i - (rank - view.rank);
    wide.shape[i] = shape[i];
    wide.strides[i] = own < 0 || (view.shape[own] == 1 && shape[i] != 1) ? 0 : view.strides[own];
  }
  return wide;
}

bool same_view(const View& a, const View& b) {
  bool same = a.data == b.data && a.dtype == b.dtype;
  for (int i = 0; same && i < a.rank; ++i) same = a.shape[i] <= 1 || a.strides[i] == b.strides[i];
  return same;
}

// Fewer axes to walk: drops those of length 1, merges neighbours that every operand walks as one.
void merge_axes(Elementwise& e, int inputs) {
  View* views[] = {&e.out, &e.in[0], &e.in[1], &e.in[2]};
  int kept = 0;
  for (int axis = 0; axis < e.out.rank; ++axis) {
    int64_t length = e.out.shape[axis];
    if (length == 1) continue;
    bool merges = kept > 0;
    for (int v = 0; merges && v <= inputs; ++v)
      merges = views[v]->strides[kept - 1] == views[v]->strides[axis] * length;
    for (int v = 0; v <= inputs; ++v) {
      int at = merges ? kept - 1 : kept;
      views[v]->shape[at] = merges ? views[v]->shape[at] * length : length;
      views[v]->strides[at] = views[v]->strides[axis];
    }
    if (!merges) ++kept;
  }
  if (kept == 0) {
    for (int v = 0; v <= inputs; ++v) views[v]->shape[0] = 1, views[v]->strides[0] = v == 0 ? 1 : 0;
    kept = 1;
  }
  for (int v = 0; v <= inputs; ++v) views[v]->rank = kept;
}

void run(const Call& call, const Kernel<Elementwise>& kernel, std::initializer_list<Argument> operands,
         const View& out) {
  Elementwise e{};
  e.out = out;
  int inputs = static_cast<int>(operands.size());
  for (int i = 0; i < inputs; ++i) {
    const Argument& operand = operands.begin()[i];
    e.in[i] = expanded(operand.view, out.rank, out.shape);
    // In place means the very same elements, of the same size; anything between is an accident.
    if (overlaps(out, operand.view) && !same_view(out, e.in[i]))
      raise<ValueError>(call.op, "out overlaps ", operand.name, " in memory without being the same view");
  }
  if (count_of(out) == 0) return;
  merge_axes(e, inputs);
  execute(call, kernel, e);
}

}  // namespace

void elementwise(const Call& call, const Kernel<Elementwise>& kernel, Types types,
                 std::initializer_list<Argument> operands, Output& output) {
  const Argument* first = operands.begin();
  const Argument* last = operands.end();
  if (types == Types::selection) {
    require_dtype(call, *first, {DType::boolean});
    require_same_dtype(call, first[1], first[2]);
  } else {
    for (const Argument* x = first; x != last; ++x) {
      require_types(call, types, *x);
      require_same_dtype(call, *first, *x);
    }
  }
  int rank = 0;
  int64_t shape[max_rank];
  for (const Argument& x : operands) rank = std::max(rank, x.view.rank);
  for (int i = 0; i < rank; ++i) {
    shape[i] = 1;
    for (const Argument& x : operands) {
      int own = i - (rank - x.view.rank);
      if (own < 0 || x.view.shape[own] == 1 || x.view.shape[own] == shape[i]) continue;
      if (shape[i] != 1)
        raise<ValueError>(call.op, x.name, " has shape ", ShapeOf(x.view), ", which does not broadcast with ",
                          first->name, " of shape ", ShapeOf(first->view));
      shape[i] = x.view.shape[own];
    }
  }
  DType dtype = types == Types::comparison ? DType::boolean : last[-1].view.dtype;
  run(call, kernel, operands, output.place(call, dtype, rank, shape));
}

void cast(const Call& call, Argument x, DType dtype, int rank, const int64_t* shape, Output& output) {
  bool fits = x.view.rank <= rank;
  for (int i = 0; fits && i < x.view.rank; ++i)
    fits = x.view.shape[i] == 1 || x.view.shape[i] == shape[i + rank - x.view.rank];
  if (!fits)
    raise<ValueError>(call.op, "x has shape ", ShapeOf(x.view), ", which does not broadcast to ", ShapeOf(shape, rank));
  run(call, kernels().cast, {x}, output.place(call, dtype, rank, shape));
}

}  // namespace fastnn::eager
