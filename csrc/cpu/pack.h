// Packing: a strip of a matrix, copied so that the product's inner loop reads it in order.
//
// A panel holds `width` lanes for each of kc steps: panel[k * width + l] = source[l * lane_stride + k * k_stride],
// zero where l >= valid. One of the strides is 1 for every transposition of a row-major matrix.
//
// Why it is fast. Both cases run on whole vectors: where lanes are neighbours, a step is a load and a store; where
// steps are, a square of vectors is read, transposed in registers (transpose.h) and written, so that every cache line
// is fetched once and used up.
#pragma once

#include "cpu/transpose.h"

namespace fastnn {
namespace {

// Lanes stand next to each other in memory: a copy, row by row.
template <class T>
void pack_copy(T* panel, int width, const T* source, int64_t k_stride, int valid, int64_t kc) {
  for (int64_t k = 0; k < kc; ++k, panel += width, source += k_stride) {
    int l = 0;
    for (; l + lanes<T> <= valid; l += lanes<T>) store(panel + l, load(source + l));
    if (l < width) {
      Vec<T> rest = valid > l ? load_partial<T>(source + l, valid - l, T(0)) : Vec<T>{};
      if (l + lanes<T> <= width) store(panel + l, rest);
      else store_partial<T>(panel + l, rest, width - l);
      for (l += lanes<T>; l < width; ++l) panel[l] = 0;
    }
  }
}

template <class T>
void pack(T* panel, int width, const T* source, int64_t lane_stride, int64_t k_stride, int valid, int64_t kc) {
  if (lane_stride == 1) return pack_copy(panel, width, source, k_stride, valid, kc);
  if (k_stride == 1) return turn(panel, width, width, source, lane_stride, valid, kc);
  for (int64_t k = 0; k < kc; ++k)
    for (int l = 0; l < width; ++l) panel[k * width + l] = l < valid ? source[l * lane_stride + k * k_stride] : T(0);
}

}  // namespace
}  // namespace fastnn
