// Transposing a square of vectors in registers (Eklundh, "A fast computer method for matrix transposing", 1972).
//
// Why it is fast. n vectors of n lanes change places in log2(n) stages of n shuffles of two vectors each: 64 for the
// 256 floats of a square on AVX-512, where element by element it were 256 loads and stores. Memory is touched by whole
// vectors alone, once on the way in and once on the way out.
#pragma once

#include "cpu/vec.h"

namespace fastnn {
namespace {

// One stage of Eklundh's transposition: exchanges the off-diagonal blocks of size `distance`.
template <class T, int distance>
FASTNN_INLINE void transpose_stage(Vec<T>* row) {
  Vec<Int<T>> low, high;  // lane numbers into the pair (row i, row i + distance)
  for (int l = 0; l < lanes<T>; ++l) {
    low[l] = l & distance ? l - distance + lanes<T> : l;
    high[l] = l & distance ? l + lanes<T> : l + distance;
  }
#pragma GCC unroll 16
  for (int i = 0; i < lanes<T>; ++i) {
    if (i & distance) continue;
    Vec<T> a = row[i], b = row[i + distance];
    row[i] = shuffle<T>(a, b, low);
    row[i + distance] = shuffle<T>(a, b, high);
  }
}

// Transposes a square of lanes<T> vectors in registers.
template <class T>
FASTNN_INLINE void transpose(Vec<T>* row) {
  if constexpr (lanes<T> > 8) transpose_stage<T, 8>(row);
  if constexpr (lanes<T> > 4) transpose_stage<T, 4>(row);
  if constexpr (lanes<T> > 2) transpose_stage<T, 2>(row);
  transpose_stage<T, 1>(row);
}

// A transposing copy of rows x columns, in squares: to[j * to_row + i] = from[i * from_row + j] for i < rows, and 0 for
// rows <= i < width.
template <class T>
void turn(T* to, int64_t to_row, int64_t width, const T* from, int64_t from_row, int64_t rows, int64_t columns) {
  constexpr int side = lanes<T>;
  if (width == 1 && rows == 1 && to_row == 1) {  // a single line stays one
    for (int64_t j = 0; j < columns; ++j) to[j] = from[j];
    return;
  }
  for (int64_t i0 = 0; i0 < width; i0 += side) {
    int64_t height = at_most(side, rows - i0), written = at_most(side, width - i0);
    for (int64_t j0 = 0; j0 < columns; j0 += side) {
      int steps = static_cast<int>(at_most(side, columns - j0));
      Vec<T> square[side];
#pragma GCC unroll 16
      for (int i = 0; i < side; ++i) {
        const T* row = from + (i0 + i) * from_row + j0;
        if (i >= height) square[i] = Vec<T>{};
        else if (steps == side) square[i] = load(row);
        else square[i] = load_partial<T>(row, steps, T(0));
      }
      transpose<T>(square);
      T* column = to + j0 * to_row + i0;
      if (written == side && steps == side) {
#pragma GCC unroll 16
        for (int j = 0; j < side; ++j) store(column + j * to_row, square[j]);
      } else {
        for (int j = 0; j < steps; ++j) store_partial<T>(column + j * to_row, square[j], written);
      }
    }
  }
}

}  // namespace
}  // namespace fastnn
