// Rows found by index: how their elements become numbers of another dtype, and how far ahead they are asked for.
//
// Why it is fast. Bytes and float16 become floats a vector at a time, bytes with two multiplications in place of a
// division (see Reciprocal). Shuffled rows miss every cache, so whole rows are asked for some 4 KiB ahead.
#pragma once

#include "cpu/half.h"
#include "cpu/vec.h"
#include "kernels/kernels.h"

namespace fastnn {
namespace {

constexpr int64_t line = 64;          // bytes of a cache line
constexpr int64_t prefetched = 4096;  // bytes between the row being read and the row being asked for

// Of rows of so many bytes.
inline int64_t rows_ahead(int64_t bytes) { return at_most(16, ceil_div(prefetched, bytes)); }

// Asks for row i of out.
inline void ask_for(const Gather& g, int64_t i) {
  const int64_t size = item_size(g.data_dtype);
  const std::byte* row = static_cast<const std::byte*>(g.data) + g.indices[i] * g.stride * size;
  for (int64_t b = 0; b < at_most(g.width * size, prefetched); b += line) __builtin_prefetch(row + b);
}

// T of lanes<T> bytes.
template <class T>
FASTNN_INLINE Vec<T> load_bytes(const uint8_t* from) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return (Vec<T>)_mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepu8_epi32(0xFFFF, bytes));
  } else {
    __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return (Vec<T>)_mm512_maskz_cvtepi32_pd(0xFF, _mm256_cvtepu8_epi32(bytes));
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return (Vec<T>)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  } else {
    int32_t bytes;
    __builtin_memcpy(&bytes, from, sizeof bytes);
    return (Vec<T>)_mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)));
  }
#else
  typedef uint8_t Bytes __attribute__((vector_size(lanes<T>)));
  Bytes bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, Vec<T>);
#endif
}

// As many elements as a vector of T has lanes.
template <class Element, class T>
struct LanesOf {
  typedef Element type __attribute__((vector_size(sizeof(Element) * lanes<T>)));
};

// T of lanes<T> numbers of float16. The instructions are those of float_of_half.
template <class T>
FASTNN_INLINE Vec<T> load_halves(const Half* from) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return (Vec<T>)_mm512_maskz_cvtph_ps(0xFFFF, halves);
  } else {
    __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return (Vec<T>)_mm512_maskz_cvtps_pd(0xFF, _mm256_cvtph_ps(halves));
  }
#elif defined(__AVX2__) && defined(__F16C__)
  if constexpr (sizeof(T) == 4) {
    __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return (Vec<T>)_mm256_cvtph_ps(halves);
  } else {
    __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return (Vec<T>)_mm256_cvtps_pd(_mm_cvtph_ps(halves));
  }
#else
  using Bits = typename LanesOf<uint32_t, T>::type;
  using Floats = typename LanesOf<float, T>::type;
  typename LanesOf<uint16_t, T>::type halves;
  __builtin_memcpy(&halves, from, sizeof halves);
  const Bits bits = __builtin_convertvector(halves, Bits);
  return __builtin_convertvector((float_of_half<Floats, Bits>(bits)), Vec<T>);
#endif
}

template <class T>
struct Unchanged {
  FASTNN_INLINE Vec<T> operator()(Vec<T> x) const { return x; }
};

template <class T>
struct Division {
  Vec<T> divisor;
  FASTNN_INLINE Vec<T> operator()(Vec<T> x) const { return x / divisor; }
};

// x / d as x high + x low with high + low = 1 / d in twice the precision: several times faster than division, and the
// same number for nearly every d (for 255 among them). There are only 256 x, so that is simply tried.
template <class T>
struct Reciprocal {
  Vec<T> high, low;
  FASTNN_INLINE explicit Reciprocal(T d) : high(splat(1 / d)), low(splat(fma1<T>(-d, 1 / d, 1) / d)) {}
  FASTNN_INLINE Vec<T> operator()(Vec<T> x) const { return fma<T>(x, high, x * low); }

  FASTNN_INLINE bool equals(const Division<T>& division) const {
    Vec<T> x;
    for (int i = 0; i < lanes<T>; ++i) x[i] = static_cast<T>(i);
    Vec<Unsigned<T>> differs{};
    for (int first = 0; first < 256; first += lanes<T>, x += static_cast<T>(lanes<T>))
      differs |= bits_as<Vec<Unsigned<T>>>((*this)(x)) ^ bits_as<Vec<Unsigned<T>>>(division(x));
    for (int i = 0; i < lanes<T>; ++i)
      if (differs[i]) return false;
    return true;
  }
};

template <class T>
FASTNN_INLINE Vec<T> load_as(const T* from) {
  return load(from);
}
template <class T>
FASTNN_INLINE Vec<T> load_as(const uint8_t* from) {
  return load_bytes<T>(from);
}
template <class T>
FASTNN_INLINE Vec<T> load_as(const Half* from) {
  return load_halves<T>(from);
}

template <class T, class From>
FASTNN_INLINE T number_as(From x) {
  if constexpr (__is_same(From, Half)) return static_cast<T>(float_of_half<float, uint32_t>(x.bits));
  else return static_cast<T>(x);
}

}  // namespace
}  // namespace fastnn
