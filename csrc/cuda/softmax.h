// What softmax, log-softmax and cross-entropy have in common: of each row the maximum m, and the sum s of the
// exponentials e_i = exp(x_i - m), by the sixteen-lane fold of reduce.h.
//
// Why it is fast. Half a warp takes a row of up to 4096 elements, sixteen halves a longer one; a row is fetched from
// memory once, and read again from L1 or L2. Exponentials are made a second time where they are needed again: that
// costs less than to store and to load them.
#pragma once

#include "cuda/expressions.h"
#include "cuda/reduce.h"

namespace fastnn::cuda {
namespace {

inline constexpr int halves_of_long_row = fold_lanes;
constexpr bool is_long(int64_t columns) { return columns > fold_block_size; }

inline Geometry geometry_of_teams(int64_t rows, int halves) {
  if (halves == 1) return half_warps(rows);
  return {geometry_of(rows, 1, 1).blocks, static_cast<unsigned>(halves * fold_lanes)};
}

// Calls use(row) for the rows of this team.
template <int halves, class Use>
FASTNN_INLINE void each_row(int64_t rows, Use use) {
  if constexpr (halves == 1)
    for (int64_t row = first_half(); row < rows; row += all_halves()) use(row);
  else
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) use(row);
}

// Calls use(i) for the elements of a row that are this thread's.
template <int halves, class Use>
FASTNN_INLINE void each_element(int64_t columns, Use use) {
#pragma unroll 4
  for (int64_t i = Team<halves>::rank(); i < columns; i += Team<halves>::size) use(i);
}

// The maximum of a row that holds no NaN; otherwise any number.
template <int halves, class T>
FASTNN_INLINE T max_of(const T* x, int64_t columns, T* shared) {
  struct Larger {
    static FASTNN_INLINE T of(T a, T b) { return larger(b, a); }
  };
  T max = T(-__builtin_inf());
  each_element<halves>(columns, [&](int64_t i) { max = larger(x[i], max); });
  max = fold16<Larger>(max);
  if constexpr (halves > 1) {
    if (Team<halves>::lane() == 0) shared[Team<halves>::half()] = max;
    Team<halves>::synchronize();
    max = fold16<Larger>(shared[Team<halves>::lane() % halves]);
    Team<halves>::synchronize();
  }
  return max;
}

template <int halves, class T>
FASTNN_INLINE T sum_of_exponentials(const T* x, int64_t columns, T max, T* shared) {
  return fold_row<halves, T, Sum<T>>(columns, shared, [=](int64_t i) { return vexp<T>(x[i] - max); });
}

}  // namespace
}  // namespace fastnn::cuda
