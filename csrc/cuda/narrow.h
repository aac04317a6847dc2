// linear of few outputs: the expression of cpu/narrow.h. Half a warp, whose threads are the sixteen lanes, makes an
// element of c, so that loads are whole lines.
#pragma once

#include "cuda/finish.h"
#include "cuda/reduce.h"

namespace fastnn::cuda {
namespace {

// The elements of this half of a warp.
template <class T>
FASTNN_INLINE void narrow_elements(const Product& p) {
  const T *x = static_cast<const T*>(p.a), *weight = static_cast<const T*>(p.b);
  for (int64_t e = first_half(); e < p.m * p.n; e += all_halves()) {
    const int64_t row = e / p.n, column = e % p.n;
    T c{};
    for (int64_t first = 0; first < p.k; first += narrow_chunk) {
      T sum{};
#pragma unroll 4
      for (int64_t k = first + Team<1>::lane(); k < at_most(first + narrow_chunk, p.k); k += fold_lanes)
        sum = fma<T>(x[row * p.a_row + k * p.a_column], weight[k * p.b_row + column * p.b_column], sum);
      // Sixteen lanes are filled up with zeros, which make +0 of -0.
      if (const int64_t rest = at_most(narrow_chunk, p.k - first) % fold_lanes; rest > 0 && Team<1>::lane() >= rest)
        sum = fma<T>(T{0}, T{0}, sum);
      sum = fold16<Sum<T>>(sum);
      c = first == 0 ? sum : c + sum;
    }
    if (Team<1>::lane() == 0) finish<T>(p, nullptr, row, column, c);
  }
}

}  // namespace
}  // namespace fastnn::cuda
