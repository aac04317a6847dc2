// Random numbers by counters (array/philox.h), each a function of its position: by the expressions of cpu/random.cpp.
#pragma once

#include "array/philox.h"
#include "cuda/expressions.h"

namespace fastnn::cuda {
namespace {

struct Words {
  uint32_t word[4];
};

FASTNN_INLINE Words words_of(const Stream& stream, int64_t block) {
  auto multiply = [](uint64_t a, uint64_t b) { return (a & 0xFFFFFFFF) * b; };
  const auto wide = philox(stream, static_cast<uint64_t>(block), multiply);
  Words words;
#pragma unroll
  for (int i = 0; i < 4; ++i) words.word[i] = static_cast<uint32_t>(wide.word[i]);
  return words;
}

// Words 2 i and 2 i + 1, of which the first are the high bits.
FASTNN_INLINE uint64_t pair_of(const Words& words, int i) {
  return uint64_t{words.word[2 * i]} << 32 | words.word[2 * i + 1];
}

// In [0, 1): 24 bits for float, 53 for double.
FASTNN_INLINE float uniform01(const Words& words, int i, float) {
  return static_cast<float>(words.word[i] >> 8) * 0x1p-24f;
}
FASTNN_INLINE double uniform01(const Words& words, int i, double) {
  return static_cast<double>(pair_of(words, i) >> 11) * 0x1p-53;
}

template <class T>
struct Dropout {
  static constexpr int elements = 4;
  uint32_t threshold;
  T scale;
  explicit Dropout(const Random& r) : scale(static_cast<T>(r.a == 1 ? 0 : 1 / (1 - r.a))) {
    const float p = static_cast<float>(r.a) * 0x1p24f;
    const uint32_t whole = static_cast<uint32_t>(p);
    threshold = whole + (static_cast<float>(whole) < p);
  }
  FASTNN_INLINE T operator()(const Words& words, int i, T x) const {
    return words.word[i] >> 8 >= threshold ? x * scale : T{0};
  }
};

// By the threads of a grid: each makes a block of words, and numbers of it, at a time.
template <class T, class Use>
FASTNN_INLINE void random_elements(const Random& r, const Use& use) {
  constexpr int elements = Use::elements;
  const Stream stream{r.seed, static_cast<uint64_t>(*r.step), r.ordinal, r.purpose};
  const T* x = static_cast<const T*>(r.x);
  T* out = static_cast<T*>(r.out);
  const int64_t blocks = ceil_div(r.count, elements);
  for (int64_t b = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; b < blocks; b += int64_t{gridDim.x} * blockDim.x) {
    const Words words = words_of(stream, b);
#pragma unroll
    for (int i = 0; i < elements; ++i) {
      const int64_t at = b * elements + i;
      if (at < r.count) out[at] = use(words, i, x ? x[at] : T{0});
    }
  }
}

}  // namespace
}  // namespace fastnn::cuda
