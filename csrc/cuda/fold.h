// sum, mean, max and min of x (outer, extent, inner) over its middle axis, by the threads of a grid: reduction.cu.
#pragma once

#include "cuda/reduce.h"

namespace fastnn::cuda {
namespace {

inline constexpr int64_t chunk_rows = 256;

// Elements of x as numbers of type T: those of bool, which are bytes, become int64.
template <class T, class X>
FASTNN_INLINE T load_as(const X* x, int64_t i) {
  return static_cast<T>(x[i]);
}

// Of rows of n elements, `parts` of them for each: blocks of a row, or one. A divisor of 0 means none.
template <class X, class T, class Combine>
FASTNN_INLINE void fold_rows(const X* x, T* out, int64_t rows, int64_t n, int64_t parts, T divisor) {
  for (int64_t item = first_half(); item < rows * parts; item += all_halves()) {
    const X* row = x + item / parts * n;
    auto load = [row](int64_t i) { return load_as<T>(row, i); };
    const int64_t first = item % parts * fold_block_size;
    T result = n == 0      ? T{0}
               : parts > 1 ? fold_block<T, Combine>(first, at_most(first + fold_block_size, n), load)
                           : fold_row<1, T, Combine>(n, static_cast<T*>(nullptr), load);
    if (divisor != T{0}) result = result / divisor;
    if (Team<1>::lane() == 0) out[item] = result;
  }
}

// Of columns, a chunk of rows each; out is (outer, parts, inner).
template <class X, class T, class Combine>
FASTNN_INLINE void fold_columns(const X* x, T* out, int64_t outer, int64_t extent, int64_t inner, int64_t chunk,
                                T divisor) {
  const int64_t parts = ceil_div(extent, chunk), count = outer * parts * inner;
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t column = i % inner, part = i / inner % parts, plane = i / inner / parts;
    const int64_t first = part * chunk, last = at_most(first + chunk, extent);
    const X* from = x + plane * extent * inner + column;
    T result = load_as<T>(from, first * inner);
#pragma unroll 8
    for (int64_t k = first + 1; k < last; ++k) result = Combine::of(result, load_as<T>(from, k * inner));
    out[i] = divisor != T{0} ? result / divisor : result;
  }
}

}  // namespace
}  // namespace fastnn::cuda
