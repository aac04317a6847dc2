// The small vector type every CPU kernel is written over.
//
// One source per kernel is compiled once per instruction set. FASTNN_ISA names the namespace of that compilation;
// the vector width follows from the compiler's target. Vectors are GCC/Clang vector extensions, so + - * / and
// comparisons are operators; what has no operator (fma, sqrt) is below. Everything is inlined into the loop that uses
// it, and what instruction it becomes is the compiler's choice unless a comment says otherwise.
//
// Everything stands in an anonymous namespace and no standard header with inline functions is included: a shared
// inline function compiled for AVX-512 could otherwise be the copy that the linker keeps for all.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/traits.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef FASTNN_ISA
#error "compile kernel sources with -DFASTNN_ISA=<baseline|avx2|avx512|neon>"
#endif

#define FASTNN_INLINE inline __attribute__((always_inline))

namespace fastnn {
namespace {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int vector_registers = 32;
#elif defined(__AVX2__)
inline constexpr int vector_bytes = 32;
inline constexpr int vector_registers = 16;
#elif defined(__aarch64__)
inline constexpr int vector_bytes = 16;
inline constexpr int vector_registers = 32;
#else
inline constexpr int vector_bytes = 16;
inline constexpr int vector_registers = 16;
#endif

#if defined(__FMA__) || defined(__aarch64__)
inline constexpr bool has_fma = true;
#else
inline constexpr bool has_fma = false;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
  typedef T unaligned __attribute__((vector_size(vector_bytes), aligned(alignof(T)), may_alias));
};
template <class T>
using Vec = typename VectorOf<T>::type;

template <class T>
inline constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

// ---- sizes ------------------------------------------------------------------------------------------------------

// Where part `i` of `total` things begins that are spread evenly over `parts`. (total * i / parts would overflow.)
constexpr int64_t first_of(int64_t i, int64_t total, int64_t parts) {
  return i * (total / parts) + at_most(i, total % parts);
}
// a b, or more than there can be of anything, so that a size that overflows cannot be had.
constexpr int64_t times(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX / 2 : product;
}

// ---- moving ---------------------------------------------------------------------------------------------------

template <class T>
FASTNN_INLINE Vec<T> splat(T value) {
  return value - Vec<T>{};  // x - (+0) is x for every x, -0 and NaN included
}

// -1 in the first n lanes, 0 in the others.
template <class T>
FASTNN_INLINE Vec<Int<T>> first_lanes(int64_t n) {
  Vec<Int<T>> index;
  for (int i = 0; i < lanes<T>; ++i) index[i] = i;
  return index < splat(static_cast<Int<T>>(n));
}

template <class T>
FASTNN_INLINE Vec<Int<T>> is_nan(Vec<T> v) {
  if constexpr (is_integer<T>) return Vec<Int<T>>{};
  else return v != v;
}

// The first lane where a comparison of Vec<T> holds, lanes<T> where none does.
template <class T>
FASTNN_INLINE int first_lane(Vec<Int<T>> mask) {
#if defined(__AVX512F__)
  unsigned bits = sizeof(T) == 4 ? _mm512_movepi32_mask((__m512i)mask) : _mm512_movepi64_mask((__m512i)mask);
#elif defined(__AVX2__)
  int bits = sizeof(T) == 4 ? _mm256_movemask_ps((__m256)mask) : _mm256_movemask_pd((__m256d)mask);
#else
  unsigned bits = 0;
  for (int i = 0; i < lanes<T>; ++i) bits |= mask[i] ? 1u << i : 0u;
#endif
  return __builtin_ctz(static_cast<unsigned>(bits) | 1u << lanes<T>);
}
template <class T>
FASTNN_INLINE bool any(Vec<Int<T>> mask) {
  return first_lane<T>(mask) < lanes<T>;
}

template <class T>
FASTNN_INLINE Vec<T> load(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(from);
}

// Loads v once: a compiler makes it an operand of each instruction that uses it, to be loaded by each of them.
template <class T>
FASTNN_INLINE Vec<T> load_once(const T* from) {
  Vec<T> v = load(from);
#if defined(__AVX512F__)
  __asm__("" : "+v"(v));
#elif defined(__aarch64__)
  __asm__("" : "+w"(v));
#elif defined(__x86_64__)
  __asm__("" : "+x"(v));
#endif
  return v;
}

template <class T>
FASTNN_INLINE void store(T* to, Vec<T> v) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(to) = v;
}

// The first n lanes (0 <= n <= lanes) from memory, `rest` in the others. Never reads past from + n.
template <class T>
FASTNN_INLINE Vec<T> load_partial(const T* from, int64_t n, T rest) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    __mmask16 mask = static_cast<__mmask16>((1u << n) - 1);
    return (Vec<T>)_mm512_mask_loadu_epi32((__m512i)splat<T>(rest), mask, from);
  } else if constexpr (sizeof(T) == 8) {
    __mmask8 mask = static_cast<__mmask8>((1u << n) - 1);
    return (Vec<T>)_mm512_mask_loadu_epi64((__m512i)splat<T>(rest), mask, from);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4 || sizeof(T) == 8) {
    Vec<Int<T>> mask = first_lanes<T>(n);
    __m256i v;
    if constexpr (sizeof(T) == 4) v = _mm256_maskload_epi32(reinterpret_cast<const int*>(from), (__m256i)mask);
    else v = _mm256_maskload_epi64(reinterpret_cast<const long long*>(from), (__m256i)mask);
    return mask ? (Vec<T>)v : splat<T>(rest);
  }
#endif
  if (n < 0 || n > lanes<T>) __builtin_unreachable();  // GCC 12 warns of what it believes n might be
  Vec<T> v = splat<T>(rest);
  __builtin_memcpy(&v, from, static_cast<size_t>(n) * sizeof(T));
  return v;
}

// Writes the first n lanes (0 <= n <= lanes), nothing behind them.
template <class T>
FASTNN_INLINE void store_partial(T* to, Vec<T> v, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_epi32(to, static_cast<__mmask16>((1u << n) - 1), (__m512i)v);
    return;
  } else if constexpr (sizeof(T) == 8) {
    _mm512_mask_storeu_epi64(to, static_cast<__mmask8>((1u << n) - 1), (__m512i)v);
    return;
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    _mm256_maskstore_epi32(reinterpret_cast<int*>(to), (__m256i)first_lanes<T>(n), (__m256i)v);
    return;
  } else if constexpr (sizeof(T) == 8) {
    _mm256_maskstore_epi64(reinterpret_cast<long long*>(to), (__m256i)first_lanes<T>(n), (__m256i)v);
    return;
  }
#endif
  __builtin_memcpy(to, &v, static_cast<size_t>(n) * sizeof(T));
}

// For loops whose last turn is partial: `All` lanes, or the first `count`. Both forms of a body come from one generic
// lambda that takes `auto count`.
struct All {};

template <class T>
FASTNN_INLINE Vec<T> load(const T* from, All, T) {
  return load(from);
}
template <class T>
FASTNN_INLINE Vec<T> load(const T* from, int64_t count, T rest) {
  return load_partial(from, count, rest);
}
template <class T>
FASTNN_INLINE void store(T* to, Vec<T> v, All) {
  store<T>(to, v);
}
template <class T>
FASTNN_INLINE void store(T* to, Vec<T> v, int64_t count) {
  store_partial<T>(to, v, count);
}

// Lanes of a, or of a and then b, picked by index; an index is a constant once this is inlined.
template <class T>
FASTNN_INLINE Vec<T> shuffle(Vec<T> a, Vec<Int<T>> index) {
#if defined(__clang__)
  Vec<T> r;
  for (int i = 0; i < lanes<T>; ++i) r[i] = a[index[i]];
  return r;
#else
  return __builtin_shuffle(a, index);
#endif
}
template <class T>
FASTNN_INLINE Vec<T> shuffle(Vec<T> a, Vec<T> b, Vec<Int<T>> index) {
#if defined(__clang__)
  Vec<T> r;
  for (int i = 0; i < lanes<T>; ++i) r[i] = index[i] < lanes<T> ? a[index[i]] : b[index[i] - lanes<T>];
  return r;
#else
  return __builtin_shuffle(a, b, index);
#endif
}

// Reinterpret bits.
template <class To, class From>
FASTNN_INLINE To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

// ---- arithmetic that has no operator --------------------------------------------------------------------------

// a * b + c with one rounding where the instruction set has it. The baseline rounds twice; its bits stand outside.
template <class T>
FASTNN_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  else return (Vec<T>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  else return (Vec<T>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
  if constexpr (sizeof(T) == 4) return (Vec<T>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  else return (Vec<T>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
  return a * b + c;
#endif
}

// The same for one element.
template <class T>
FASTNN_INLINE T fma1(T a, T b, T c) {
  if constexpr (!has_fma) return a * b + c;
  else if constexpr (sizeof(T) == 4) return __builtin_fmaf(a, b, c);
  else return __builtin_fma(a, b, c);
}

template <class T>
FASTNN_INLINE Vec<T> square_root(Vec<T> v) {
  Vec<T> r;
  for (int i = 0; i < lanes<T>; ++i) {
    if constexpr (sizeof(T) == 4) r[i] = __builtin_sqrtf(v[i]);
    else r[i] = __builtin_sqrt(v[i]);
  }
  return r;
}

// The larger, the second where either is NaN or both are zeros: what one max instruction does, but GCC 12 makes two of
// the selection. (The masked forms, because the plain ones warn of their own undefined operand.)
template <class T>
FASTNN_INLINE Vec<T> larger(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (__is_same(T, float)) return (Vec<T>)_mm512_maskz_max_ps(0xFFFF, (__m512)a, (__m512)b);
  if constexpr (__is_same(T, double)) return (Vec<T>)_mm512_maskz_max_pd(0xFF, (__m512d)a, (__m512d)b);
#elif defined(__AVX2__)
  if constexpr (__is_same(T, float)) return (Vec<T>)_mm256_max_ps((__m256)a, (__m256)b);
  if constexpr (__is_same(T, double)) return (Vec<T>)_mm256_max_pd((__m256d)a, (__m256d)b);
#endif
  return a > b ? a : b;
}

template <class T>
FASTNN_INLINE Vec<T> smaller(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (__is_same(T, float)) return (Vec<T>)_mm512_maskz_min_ps(0xFFFF, (__m512)a, (__m512)b);
  if constexpr (__is_same(T, double)) return (Vec<T>)_mm512_maskz_min_pd(0xFF, (__m512d)a, (__m512d)b);
#elif defined(__AVX2__)
  if constexpr (__is_same(T, float)) return (Vec<T>)_mm256_min_ps((__m256)a, (__m256)b);
  if constexpr (__is_same(T, double)) return (Vec<T>)_mm256_min_pd((__m256d)a, (__m256d)b);
#endif
  return a < b ? a : b;
}

// f(x, y) of floats, computed in doubles.
template <class F>
FASTNN_INLINE Vec<float> in_doubles(Vec<float> x, Vec<float> y, F f) {
  typedef float Half __attribute__((vector_size(vector_bytes / 2)));
  Half xs[2], ys[2], results[2];
  __builtin_memcpy(xs, &x, sizeof(x));
  __builtin_memcpy(ys, &y, sizeof(y));
  for (int i = 0; i < 2; ++i) {
    Vec<double> result = f(__builtin_convertvector(xs[i], Vec<double>), __builtin_convertvector(ys[i], Vec<double>));
    results[i] = __builtin_convertvector(result, Half);
  }
  Vec<float> result;
  __builtin_memcpy(&result, results, sizeof(result));
  return result;
}

// Floating point only, signs of zeros and NaN included.
template <class T>
FASTNN_INLINE Vec<T> absolute(Vec<T> v) {
  return bits_as<Vec<T>>(bits_as<Vec<Unsigned<T>>>(v) & ~sign_bit<T>);
}

template <class T>
FASTNN_INLINE Vec<T> copy_sign(Vec<T> magnitude, Vec<T> sign) {
  return bits_as<Vec<T>>((bits_as<Vec<Unsigned<T>>>(magnitude) & ~sign_bit<T>) |
                         (bits_as<Vec<Unsigned<T>>>(sign) & sign_bit<T>));
}

// ---- the sixteen-lane fold ------------------------------------------------------------------------------------

// Reductions run in sixteen lanes on every instruction set, so that the order of additions is one and the same:
// element i belongs to lane i % 16, and the lanes are folded at distances 8, 4, 2, 1.
inline constexpr int fold_lanes = 16;
template <class T>
inline constexpr int fold_vectors = fold_lanes / lanes<T>;

template <class T, int distance, class Combine>
FASTNN_INLINE Vec<T> fold_step(Vec<T> v, Combine combine) {
  Vec<Int<T>> index;
  for (int i = 0; i < lanes<T>; ++i) index[i] = (i + distance) % lanes<T>;
  return combine(v, shuffle<T>(v, index));
}

// Folds sixteen lanes held in fold_vectors<T> vectors to one element. `combine` takes and gives vectors.
template <class T, class Combine>
FASTNN_INLINE T fold16(const Vec<T>* v, Combine combine) {
  constexpr int count = fold_vectors<T>;
  Vec<T> r[count];
  for (int i = 0; i < count; ++i) r[i] = v[i];
  for (int d = count / 2; d >= 1; d /= 2)
    for (int i = 0; i < d; ++i) r[i] = combine(r[i], r[i + d]);
  Vec<T> s = r[0];
  if constexpr (lanes<T> > 8) s = fold_step<T, 8>(s, combine);
  if constexpr (lanes<T> > 4) s = fold_step<T, 4>(s, combine);
  if constexpr (lanes<T> > 2) s = fold_step<T, 2>(s, combine);
  if constexpr (lanes<T> > 1) s = fold_step<T, 1>(s, combine);
  return s[0];
}

template <class T>
FASTNN_INLINE T fold16_sum(const Vec<T>* v) {
  return fold16<T>(v, [](Vec<T> a, Vec<T> b) { return a + b; });
}

}  // namespace
}  // namespace fastnn
