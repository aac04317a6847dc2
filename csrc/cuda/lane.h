// The vector type of csrc/cpu with one lane, which is a thread's. So the headers of cpu that cuda/expressions.h
// names are one source for the CPU and the device, and each of their expressions rounds the same way.
//
// What cpu/vec.h says of each function holds here. Compiled with -fmad=false: a multiply-add is fused where it is
// written, and nowhere else.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cpu/traits.h"
#include "kernels/kernels.h"

#define FASTNN_ONE_LANE
#define FASTNN_INLINE __device__ __forceinline__
// A function with registers of its own, where inlined into a long kernel it would leave too few.
#define FASTNN_FUNCTION __device__ __attribute__((noinline))
// A function that the device starts with so many threads in a block. Asked for one block at least, ptxas gives a thread
// the registers that it wants; left to itself it would rather store some in memory and fit more blocks.
#define FASTNN_KERNEL(threads) __global__ void __launch_bounds__(threads, 1)

namespace fastnn {
namespace {

template <class T>
using Vec = T;

inline constexpr bool has_fma = true;

template <class T>
FASTNN_INLINE T splat(T value) {
  return value;
}

template <class T>
FASTNN_INLINE bool is_nan(T v) {
  return v != v;
}

template <class To, class From>
FASTNN_INLINE To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

template <class T>
FASTNN_INLINE T fma(T a, T b, T c) {
  if constexpr (sizeof(T) == 4) return __fmaf_rn(a, b, c);
  else return __fma_rn(a, b, c);
}

template <class T>
FASTNN_INLINE T square_root(T v) {
  if constexpr (sizeof(T) == 4) return __fsqrt_rn(v);
  else return __dsqrt_rn(v);
}

// The second where either is NaN or both are zeros.
template <class T>
FASTNN_INLINE T larger(T a, T b) {
  return a > b ? a : b;
}
template <class T>
FASTNN_INLINE T smaller(T a, T b) {
  return a < b ? a : b;
}

template <class F>
FASTNN_INLINE float in_doubles(float x, float y, F f) {
  return static_cast<float>(f(static_cast<double>(x), static_cast<double>(y)));
}

template <class T>
FASTNN_INLINE T absolute(T v) {
  return bits_as<T>(bits_as<Unsigned<T>>(v) & ~sign_bit<T>);
}

template <class T>
FASTNN_INLINE T copy_sign(T magnitude, T sign) {
  return bits_as<T>((bits_as<Unsigned<T>>(magnitude) & ~sign_bit<T>) | (bits_as<Unsigned<T>>(sign) & sign_bit<T>));
}

// Elements that stand side by side and are moved at once.
template <class T, int n>
struct alignas(n * sizeof(T)) Pack {
  static constexpr int count = n;
  T v[n];
};

}  // namespace
}  // namespace fastnn
