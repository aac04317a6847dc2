// The operations of a step that one kernel runs (resident.cu): what the kernels of the contract are called with, as one
// type, and the memory that each of them names.
//
// Functions here are for both sides: the host finds out what memory is used and replaces each address by a place on
// chip, of which the device makes an address again.
#pragma once

#include <optional>

#include "cuda/cross_entropy.h"
#include "cuda/elementwise.h"
#include "cuda/fold.h"
#include "cuda/gather.h"
#include "cuda/product.h"
#include "cuda/random.h"
#include "cuda/recording.h"
#include "cuda/slab.h"
#include "cuda/squared_error.h"

namespace fastnn::cuda {
namespace {

template <class T>
struct TiledProduct {
  Operand<T> a, b;
  Product p;
  int tile;  // of resident_tiles
};
template <class T>
struct MappingCall {
  int function;
  T* out;
  const T *a, *b;  // b: null for functions of one
  int64_t count;
  Strided at;
};
template <class T>
struct DropoutCall {
  Random r;
  Dropout<T> dropout;
};
template <class T>
struct FoldCall {
  const T* x;
  T* out;
  int64_t outer, extent, inner;
  T divisor;  // 0: none
};

enum class Kind : int {
  product,
  narrow,
  mapping,
  dropout,
  gather,
  cross_entropy,
  squared_error,
  fold,
  sgd,
  adam,
  slice,
  increment
};

template <class T>
struct alignas(16) Operation {
  Kind kind;
  union {
    TiledProduct<T> product;
    NarrowProduct narrow;
    MappingCall<T> mapping;
    DropoutCall<T> dropout;
    Gather gather;
    CrossEntropyCall<T> cross_entropy;
    SquaredErrorCall<T> squared_error;
    FoldCall<T> fold;
    Sgd sgd;
    Adam adam;
    Slice slice;
    Increment increment;
  };
};

// Calls use(call) with what the operation is called with.
template <class T, class Use>
constexpr void with_call(Operation<T>& operation, Use use) {
  switch (operation.kind) {
    case Kind::product: return use(operation.product);
    case Kind::narrow: return use(operation.narrow);
    case Kind::mapping: return use(operation.mapping);
    case Kind::dropout: return use(operation.dropout);
    case Kind::gather: return use(operation.gather);
    case Kind::cross_entropy: return use(operation.cross_entropy);
    case Kind::squared_error: return use(operation.squared_error);
    case Kind::fold: return use(operation.fold);
    case Kind::sgd: return use(operation.sgd);
    case Kind::adam: return use(operation.adam);
    case Kind::slice: return use(operation.slice);
    case Kind::increment: return use(operation.increment);
  }
}

// ---- memory: visit(pointer, bytes) for all that is kept on chip ----------------------------------------------------

constexpr int64_t elements_of(int64_t rows, int64_t row, int64_t columns, int64_t column) {
  return (rows - 1) * row + (columns - 1) * column + 1;
}

template <class Visit>
constexpr void each_pointer(Sgd& s, Visit visit) {
  const int64_t bytes = s.count * item_size(s.dtype);
  visit(s.param, bytes), visit(s.grad, bytes), visit(s.velocity, bytes), visit(s.lr, sizeof(double));
}

template <class Visit>
constexpr void each_pointer(Adam& a, Visit visit) {
  const int64_t bytes = a.count * item_size(a.dtype);
  visit(a.param, bytes), visit(a.grad, bytes), visit(a.exp_avg, bytes), visit(a.exp_avg_sq, bytes);
  visit(a.lr, sizeof(double)), visit(a.correction1, sizeof(double)), visit(a.correction2, sizeof(double));
}

// All but the factors.
template <class Visit>
constexpr void each_pointer(Product& p, Visit visit) {
  const int64_t size = item_size(p.dtype);
  visit(p.c, elements_of(p.m, p.c_row, p.n, 1) * size), visit(p.bias, p.n * size);
  visit(p.y, elements_of(p.m, p.y_row, p.n, 1) * size);
  if (p.update.param) each_pointer(p.update, visit);
}

template <class T, class Visit>
constexpr void each_pointer(TiledProduct<T>& t, Visit visit) {
  for (Operand<T>* x : {&t.a, &t.b})
    visit(x->from, elements_of(x->lines, x->line_stride, t.p.k, x->k_stride) * int64_t{sizeof(T)});
  each_pointer(t.p, visit);
}

template <class Visit>
constexpr void each_pointer(NarrowProduct& narrow, Visit visit) {
  Product& p = narrow.product;
  visit(p.a, elements_of(p.m, p.a_row, p.k, p.a_column) * item_size(p.dtype));
  visit(p.b, elements_of(p.k, p.b_row, p.n, p.b_column) * item_size(p.dtype));
  each_pointer(p, visit);
}

// From the first element to the last.
constexpr int64_t reach_of(const Strided& at, const int64_t (&strides)[max_rank]) {
  int64_t elements = 1;
  for (int axis = 0; axis < at.rank; ++axis) elements += (at.shape[axis] - 1) * strides[axis];
  return elements;
}

template <class T, class Visit>
constexpr void each_pointer(MappingCall<T>& m, Visit visit) {
  constexpr int64_t size = sizeof(T);
  visit(m.out, reach_of(m.at, m.at.out) * size), visit(m.a, reach_of(m.at, m.at.a) * size);
  visit(m.b, reach_of(m.at, m.at.b) * size);
}

template <class T, class Visit>
constexpr void each_pointer(DropoutCall<T>& d, Visit visit) {
  visit(d.r.x, d.r.count * int64_t{sizeof(T)}), visit(d.r.out, d.r.count * int64_t{sizeof(T)});
  visit(d.r.step, sizeof(double));
}

// The data stay where they are.
template <class Visit>
constexpr void each_pointer(Gather& g, Visit visit) {
  visit(g.indices, g.count * int64_t{sizeof(int64_t)}), visit(g.out, g.count * g.width * item_size(g.out_dtype));
}

template <class T, class Visit>
constexpr void each_pointer(CrossEntropyCall<T>& c, Visit visit) {
  const int64_t rows = c.rows * int64_t{sizeof(T)}, all = rows * c.classes;
  visit(c.logits, all), visit(c.probabilities, all), visit(c.grad, all), visit(c.losses, rows);
  visit(c.weight, c.classes * int64_t{sizeof(T)}), visit(c.labels, c.rows * int64_t{sizeof(int64_t)});
  visit(c.total, sizeof(T));
}

template <class T, class Visit>
constexpr void each_pointer(SquaredErrorCall<T>& s, Visit visit) {
  const int64_t bytes = s.count * int64_t{sizeof(T)};
  visit(s.prediction, bytes), visit(s.target, bytes), visit(s.loss, bytes), visit(s.grad, bytes);
  visit(s.results, sizeof(T));
}

template <class T, class Visit>
constexpr void each_pointer(FoldCall<T>& f, Visit visit) {
  const int64_t out = f.outer * f.inner * int64_t{sizeof(T)};
  visit(f.x, out * f.extent), visit(f.out, out);
}

// What has an index is a table for all steps, and stays where it is.
template <class Visit>
constexpr void each_pointer(Slice& s, Visit visit) {
  if (!s.to_index) visit(s.to, s.bytes);
  if (!s.from_index) visit(s.from, s.bytes);
  visit(s.to_index, sizeof(int64_t)), visit(s.from_index, sizeof(int64_t));
}

template <class Visit>
constexpr void each_pointer(Increment& i, Visit visit) {
  visit(i.index, sizeof(int64_t));
}

// ---- on the host ----------------------------------------------------------------------------------------------------

template <class T>
constexpr DType dtype_of = sizeof(T) == 4 ? DType::float32 : DType::float64;

// The operation that a note is of; none where the kernel cannot do it, or there is nothing to do.
template <class T>
struct AsOperation {
  using Result = std::optional<Operation<T>>;

  Result operator()(const Product& p) const {
    if (p.dtype != dtype_of<T> || p.k == 0 || !are_forward(p)) return {};
    return Operation<T>{Kind::product,
                        {.product = {operand<T>(p.a, p.m, p.a_row, p.a_column),
                                     operand<T>(p.b, p.n, p.b_column, p.b_row), p, choose_resident_tile(p.m, p.n)}}};
  }
  Result operator()(const NarrowProduct& n) const {
    if (n.product.dtype != dtype_of<T> || !are_forward(n.product)) return {};  // k is never 0
    return Operation<T>{Kind::narrow, {.narrow = n}};
  }
  Result operator()(const Mapping& m) const {
    const Elementwise& e = m.elements;
    int inputs = 0;
    AllFunctions::with(m.function, [&]<class Function>(Function) { inputs = Function::inputs; });
    const MappingCall<T> call{m.function,
                              reinterpret_cast<T*>(e.out.data),
                              reinterpret_cast<const T*>(e.in[0].data),
                              inputs > 1 ? reinterpret_cast<const T*>(e.in[1].data) : nullptr,
                              count_of(e.out),
                              strided_of(e, inputs)};
    if (e.out.dtype != dtype_of<T> || call.count == 0 || !are_forward(call.at)) return {};
    return Operation<T>{Kind::mapping, {.mapping = call}};
  }
  Result operator()(const Dropping& d) const {
    if (d.random.dtype != dtype_of<T> || d.random.count == 0) return {};
    return Operation<T>{Kind::dropout, {.dropout = {d.random, Dropout<T>(d.random)}}};
  }
  Result operator()(const Gather& g) const {
    if ((!is_copied(g) && g.out_dtype != dtype_of<T>) || g.stride < 0) return {};
    return Operation<T>{Kind::gather, {.gather = g}};
  }
  Result operator()(const RowLosses& r) const {
    if (r.loss.dtype != dtype_of<T> || r.loss.rows == 0 || !is_small(r.loss)) return {};
    return Operation<T>{Kind::cross_entropy, {.cross_entropy = call_of<T>(r.loss, r.workspace)}};
  }
  Result operator()(const SquaredError& s) const {
    if (s.dtype != dtype_of<T> || s.count == 0 || s.count > fold_block_size) return {};
    return Operation<T>{Kind::squared_error, {.squared_error = call_of<T>(s, nullptr)}};
  }
  Result operator()(const Sums& s) const {
    const Reduce& r = s.reduce;
    if (r.x_dtype != dtype_of<T> || r.outer * r.extent * r.inner == 0) return {};
    if (r.inner > 1 && r.extent > chunk_rows) return {};
    const T divisor = s.is_mean ? static_cast<T>(r.extent) : T{0};
    return Operation<T>{
        Kind::fold,
        {.fold = {static_cast<const T*>(r.x), static_cast<T*>(r.out), r.outer, r.extent, r.inner, divisor}}};
  }
  Result operator()(const Sgd& s) const {
    if (s.dtype != dtype_of<T> || s.count == 0) return {};
    return Operation<T>{Kind::sgd, {.sgd = s}};
  }
  Result operator()(const Adam& a) const {
    if (a.dtype != dtype_of<T> || a.count == 0) return {};
    return Operation<T>{Kind::adam, {.adam = a}};
  }
  Result operator()(const Slice& s) const { return Operation<T>{Kind::slice, {.slice = s}}; }
  Result operator()(const Increment& i) const { return Operation<T>{Kind::increment, {.increment = i}}; }

  // Whether no stride is negative.
  static bool are_forward(const Strided& at) {
    for (int axis = 0; axis < at.rank; ++axis)
      if (at.out[axis] < 0 || at.a[axis] < 0 || at.b[axis] < 0) return false;
    return true;
  }
  static bool are_forward(const Product& p) {
    return p.a_row >= 0 && p.a_column >= 0 && p.b_row >= 0 && p.b_column >= 0 && p.c_row >= 0 && p.y_row >= 0;
  }
};

// Memory that an operation reads or writes where it is.
struct Elsewhere {
  const void* memory;
  int64_t bytes;
};

template <class T>
Elsewhere elsewhere(const Operation<T>& operation) {
  if (operation.kind == Kind::gather) {
    const Gather& g = operation.gather;
    return {g.data, elements_of(g.rows, g.stride, g.width, 1) * item_size(g.data_dtype)};
  }
  if (operation.kind == Kind::slice) {
    const Slice& s = operation.slice;
    return {s.to_index ? s.to : s.from, s.bytes};
  }
  return {};
}

}  // namespace
}  // namespace fastnn::cuda
