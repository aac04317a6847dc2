// Reductions along a contiguous row, in the order of cpu/reduce.h, which depends on the row's length alone:
//
//   blocks of 4096; within a block element i is combined into lane i % 16, in order, and the sixteen lanes are folded
//   at distances 8, 4, 2, 1; where there is more than one block, their results are reduced again by the same rule.
//
// Sixteen threads are the lanes. Half a warp takes a block, so that its loads are whole lines; a team of halves takes
// the blocks of a long row in turn.
#pragma once

#include "cuda/lane.h"
#include "cuda/launch.h"

namespace fastnn::cuda {
namespace {

inline constexpr int fold_lanes = 16;
inline constexpr int64_t fold_block_size = 4096;

template <class T>
struct Sum {
  static constexpr T identity = T(-0.0);
  static FASTNN_INLINE T of(T a, T b) { return a + b; }
};

// NaN wins over every number.
template <class T>
struct Largest {
  static constexpr T identity = is_integer<T> ? T(INT64_MIN) : T(-__builtin_inf());
  static FASTNN_INLINE bool better(T a, T b) { return a > b; }
  static FASTNN_INLINE T of(T a, T b) { return is_nan(b) ? b : larger(b, a); }
};

template <class T>
struct Smallest {
  static constexpr T identity = is_integer<T> ? T(INT64_MAX) : T(__builtin_inf());
  static FASTNN_INLINE bool better(T a, T b) { return a < b; }
  static FASTNN_INLINE T of(T a, T b) { return is_nan(b) ? b : smaller(b, a); }
};

// The threads that have a row in common: sixteen, or all of a block of threads.
template <int halves>
struct Team {
  static constexpr int size = halves * fold_lanes;

  static FASTNN_INLINE int lane() { return static_cast<int>(threadIdx.x % fold_lanes); }
  static FASTNN_INLINE int half() { return halves == 1 ? 0 : static_cast<int>(threadIdx.x / fold_lanes); }
  static FASTNN_INLINE int rank() { return half() * fold_lanes + lane(); }
  // The bits of this half in its warp.
  static FASTNN_INLINE unsigned mask() { return threadIdx.x % 32 < fold_lanes ? 0xFFFFu : 0xFFFF0000u; }
  static FASTNN_INLINE void synchronize() {
    if constexpr (halves == 1) __syncwarp(mask());
    else __syncthreads();
  }
};

// A half's sixteen values folded at distances 8, 4, 2, 1; every lane gets the result.
template <class Combine, class T>
FASTNN_INLINE T fold16(T value) {
  const unsigned mask = Team<1>::mask();
#pragma unroll
  for (int distance = fold_lanes / 2; distance >= 1; distance /= 2)
    value = Combine::of(value, __shfl_down_sync(mask, value, distance, fold_lanes));
  return __shfl_sync(mask, value, 0, fold_lanes);
}

// Elements first to last, at most a block, by half a warp. load(i) gives element i.
template <class T, class Combine, class Load>
FASTNN_INLINE T fold_block(int64_t first, int64_t last, Load load) {
  T value = Combine::identity;
#pragma unroll 8
  for (int64_t i = first + Team<1>::lane(); i < last; i += fold_lanes) value = Combine::of(value, load(i));
  return fold16<Combine>(value);
}

// A row of n elements by a team; the identity for n = 0. `shared` has room for `halves` numbers. Each half takes one
// block after the other; every half then combines the results, in order, into lanes of its own.
template <int halves, class T, class Combine, class Load>
FASTNN_INLINE T fold_row(int64_t n, T* shared, Load load) {
  using team = Team<halves>;
  if (halves == 1 && n <= fold_block_size) return fold_block<T, Combine>(0, n, load);
  constexpr int64_t blocks_of_level = fold_block_size;
  const int64_t blocks = at_least(1, ceil_div(n, fold_block_size));
  T second = Combine::identity;  // lanes of the results of results
  for (int64_t start = 0; start < blocks; start += blocks_of_level) {
    const int64_t end = at_most(start + blocks_of_level, blocks);
    T first = Combine::identity;
    for (int64_t round = start; round < end; round += halves) {
      const int64_t block = round + team::half();
      const int64_t from = block * fold_block_size, to = at_most(from + fold_block_size, n);
      const T result = block < end ? fold_block<T, Combine>(from, to, load) : Combine::identity;
      if constexpr (halves == 1) {
        if (team::lane() == round % fold_lanes) first = Combine::of(first, result);
      } else {
        static_assert(halves <= fold_lanes && fold_lanes % halves == 0);
        if (team::lane() == 0) shared[team::half()] = result;
        team::synchronize();
        const int of_lane = team::lane() - static_cast<int>(round % fold_lanes);
        if (of_lane >= 0 && of_lane < halves && round + of_lane < end) first = Combine::of(first, shared[of_lane]);
        team::synchronize();
      }
    }
    first = fold16<Combine>(first);
    if (blocks <= blocks_of_level) return first;
    if (team::lane() == start / blocks_of_level % fold_lanes) second = Combine::of(second, first);
  }
  return fold16<Combine>(second);
}

template <int halves, class T>
FASTNN_INLINE T sum_row(const T* x, int64_t n, T* shared) {
  return n == 0 ? T{0} : fold_row<halves, T, Sum<T>>(n, shared, [x](int64_t i) { return x[i]; });
}

// ---- positions ----------------------------------------------------------------------------------------------------

// An element and its index; of equals, and of NaN, the first wins, in whatever order they meet.
template <class T>
struct Place {
  T value;
  int64_t index;
};

template <class Combine, class T>
FASTNN_INLINE Place<T> winner(Place<T> a, Place<T> b) {
  const bool same = a.value == b.value || (is_nan(a.value) && is_nan(b.value));
  const bool second =
      same ? b.index < a.index : !is_nan(a.value) && (is_nan(b.value) || Combine::better(b.value, a.value));
  return second ? b : a;
}

// The index of the winner of elements first to last, by half a warp. place(i) gives one.
template <class T, class Combine, class Get>
FASTNN_INLINE int64_t find_winner(int64_t first, int64_t last, Get place) {
  Place<T> best = place(first);
  for (int64_t i = first + Team<1>::lane(); i < last; i += fold_lanes) best = winner<Combine>(best, place(i));
  const unsigned mask = Team<1>::mask();
#pragma unroll
  for (int distance = fold_lanes / 2; distance >= 1; distance /= 2)
    best = winner<Combine>(best, Place<T>{__shfl_down_sync(mask, best.value, distance, fold_lanes),
                                          __shfl_down_sync(mask, best.index, distance, fold_lanes)});
  return __shfl_sync(mask, best.index, 0, fold_lanes);
}

// ---- halves of warps over many rows -------------------------------------------------------------------------------

inline constexpr int row_threads = 128;
inline Geometry half_warps(int64_t count) { return geometry_of(count * fold_lanes, 1, row_threads); }

// The number of this half among all that are launched, and how many those are.
FASTNN_INLINE int64_t first_half() { return (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) / fold_lanes; }
FASTNN_INLINE int64_t all_halves() { return int64_t{gridDim.x} * blockDim.x / fold_lanes; }

}  // namespace
}  // namespace fastnn::cuda
