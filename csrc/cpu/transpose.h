// Transposing a square of vectors in registers (Eklundh, "A fast computer method for matrix transposing", 1972).
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

}  // namespace
}  // namespace fastnn
