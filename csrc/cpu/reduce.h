// Reductions along a contiguous row, in an order that depends on the row's length alone:
//
//   blocks of 4096; within a block element i is combined into lane i % 16, in order, and the sixteen lanes are folded
//   at distances 8, 4, 2, 1; where there is more than one block, their results are reduced again by the same rule.
//
// Lanes start at `identity`, and those that a short row leaves empty stay there. For sums that is -0, which changes no
// number it is added to: the sum of [-0] is -0, and only the sum of nothing is +0 by decision.
//
// Why it is fast. Sixteen lanes are one vector of floats on AVX-512, two on AVX2, four on NEON: every load is a whole
// vector and no lane idles; lanes are folded once in 4096 elements. An addition waits for the one before in its lanes,
// so that a core adds 16 elements every few cycles: what limits a row in L1. Blocks are independent; threads share
// them.
#pragma once

#include "cpu/vec.h"

namespace fastnn {
namespace {

inline constexpr int64_t fold_block_size = 4096;

// ---- what combines two elements, or two vectors of them -------------------------------------------------------

template <class T>
struct Sum {
  static constexpr T identity = T(-0.0);
  FASTNN_INLINE T operator()(T a, T b) const { return a + b; }
  FASTNN_INLINE Vec<T> operator()(Vec<T> a, Vec<T> b) const { return a + b; }
};

// NaN wins over every number. Of b alone it is asked, so that a chain waits for one selection and no comparison.
template <class T>
struct Largest {
  static constexpr T identity = is_integer<T> ? T(INT64_MIN) : T(-__builtin_inf());
  static FASTNN_INLINE Vec<Int<T>> better(Vec<T> a, Vec<T> b) { return a > b; }
  FASTNN_INLINE T operator()(T a, T b) const { return b > a || b != b ? b : a; }
  FASTNN_INLINE Vec<T> operator()(Vec<T> a, Vec<T> b) const { return is_nan<T>(b) ? b : larger<T>(b, a); }
};

template <class T>
struct Smallest {
  static constexpr T identity = is_integer<T> ? T(INT64_MAX) : T(__builtin_inf());
  static FASTNN_INLINE Vec<Int<T>> better(Vec<T> a, Vec<T> b) { return a < b; }
  FASTNN_INLINE T operator()(T a, T b) const { return b < a || b != b ? b : a; }
  FASTNN_INLINE Vec<T> operator()(Vec<T> a, Vec<T> b) const { return is_nan<T>(b) ? b : smaller<T>(b, a); }
};

// ---- folds ------------------------------------------------------------------------------------------------------

// Elements first to last, at most a block. `load(i, count)` gives the vector of elements from i on; `count` is `All{}`
// or the number of lanes that there are, and then the others must hold the identity.
template <class T, class Combine, class Load>
FASTNN_INLINE T fold_block(int64_t first, int64_t last, Load load) {
  constexpr Combine combine{};
  Vec<T> lane[fold_vectors<T>];
  for (int v = 0; v < fold_vectors<T>; ++v) lane[v] = splat(Combine::identity);
  int64_t i = first;
  for (; i + fold_lanes <= last; i += fold_lanes)
    for (int v = 0; v < fold_vectors<T>; ++v) lane[v] = combine(lane[v], load(i + v * lanes<T>, All{}));
  for (int v = 0; v < fold_vectors<T>; ++v, i += lanes<T>)
    if (i < last) lane[v] = combine(lane[v], load(i, last - i < lanes<T> ? last - i : lanes<T>));
  return fold16<T>(lane, combine);
}

// The results of blocks, taken in order and reduced by the same rule: the lanes of a block per level.
template <class T, class Combine>
struct BlockResults {
  static constexpr int levels = 3;  // enough for 4096^4 elements
  T lane[levels][fold_lanes];
  int64_t count[levels] = {};

  T fold(int level) {
    for (int64_t i = count[level]; i < fold_lanes; ++i) lane[level][i] = Combine::identity;
    count[level] = 0;
    Vec<T> v[fold_vectors<T>];
    for (int i = 0; i < fold_vectors<T>; ++i) v[i] = load(lane[level] + i * lanes<T>);
    return fold16<T>(v, Combine{});
  }

  [[gnu::noinline]] void take(T result, int level = 0) {
    T& into = lane[level][count[level] % fold_lanes];
    into = count[level] < fold_lanes ? result : Combine{}(into, result);
    if (++count[level] == fold_block_size && level + 1 < levels) take(fold(level), level + 1);
  }

  [[gnu::noinline]] T finish() {
    for (int level = 0; level + 1 < levels; ++level)
      if (count[level] > 0) take(fold(level), level + 1);
    return fold(levels - 1);
  }
};

// A row of n elements given by `load` as above; the identity for n = 0.
template <class T, class Combine, class Load>
FASTNN_INLINE T fold_row(int64_t n, Load load) {
  BlockResults<T, Combine> results;
  for (int64_t first = 0;; first += fold_block_size) {
    bool last = n - first <= fold_block_size;
    T result = fold_block<T, Combine>(first, last ? n : first + fold_block_size, load);
    if (n <= fold_block_size) return result;
    results.take(result);
    if (last) return results.finish();
  }
}

template <class T, class Combine>
T fold_row(const T* x, int64_t n) {
  return fold_row<T, Combine>(n, [x](int64_t i, auto count) { return load(x + i, count, Combine::identity); });
}

template <class T>
T sum_row(const T* x, int64_t n) {
  return n == 0 ? T{0} : fold_row<T, Sum<T>>(x, n);
}

}  // namespace
}  // namespace fastnn
