// The operations of a step that one kernel runs (resident.cu): what the kernels of the contract are called with, as one
// type, and the memory that each of them names.
//
// Functions here are for both sides: the host finds out what memory is used and replaces each address by a place on
// chip, of which the device makes an address again.
#pragma once

#include "cuda/cross_entropy.h"
#include "cuda/fold.h"
#include "cuda/product.h"
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
struct FoldCall {
  const T* x;
  T* out;
  int64_t outer, extent, inner;
  T divisor;  // 0: none
};

enum class Kind : int { product, narrow, gather, cross_entropy, squared_error, fold, sgd, adam, slice, increment };

template <class T>
struct alignas(16) Operation {
  Kind kind;
  union {
    TiledProduct<T> product;
    NarrowProduct narrow;
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

// ---- memory: visit(pointer, bytes) for all that is kept on chip; pointers may be null
// -----------------------------------

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

}  // namespace
}  // namespace fastnn::cuda
