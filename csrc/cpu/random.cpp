// uniform, normal, dropout, permutation: random numbers by counters (array/philox.h), each a function of its position.
//
// u of element i   float32: (word i >> 8) 2^-24;   float64: (word 2i : word 2i+1, 64 bits, >> 11) 2^-53
// uniform          low + u (high - low), rounded twice, the difference in double
// normal           mean + std z in double, z = AS241(p); float32: p = (word i + 0.5) 2^-32, float64: p = u + 2^-54
// dropout          x scale where (word i >> 8) 2^-24 >= p, else +0; scale = 1 / (1 - p); both dtypes
// permutation      for i = n-1 ... 1 swap elements i and (64 bits of words 2i, 2i+1) (i + 1) >> 64
//
// Why it is fast. A vector holds one block per 64-bit lane, where a 32-bit multiplication has room for its product;
// ten rounds are some 80 instructions for a vector of blocks, and vectors do not wait for each other. Only integers
// and correctly rounded operations are used: every instruction set gives the same bits (normal: every one with fma,
// which is in the logarithm).
#include "array/philox.h"
#include "cpu/inverse_normal.h"
#include "kernels/kernels.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace fastnn {
namespace {

typedef Vec<uint64_t> Lanes;

constexpr int chunk = 128;       // words made at a time; they stay in L1
constexpr int64_t block = 2048;  // elements of an item: whole chunks

FASTNN_INLINE Lanes multiply_low(Lanes a, uint64_t b) {
#if defined(__AVX512F__)
  return (Lanes)_mm512_maskz_mul_epu32(0xFF, (__m512i)a, (__m512i)splat(b));
#elif defined(__AVX2__)
  return (Lanes)_mm256_mul_epu32((__m256i)a, (__m256i)splat(b));
#elif defined(__aarch64__)
  return (Lanes)vmull_u32(vmovn_u64((uint64x2_t)a), vdup_n_u32(static_cast<uint32_t>(b)));
#elif defined(__SSE2__)
  return (Lanes)_mm_mul_epu32((__m128i)a, (__m128i)splat(b));
#else
  return (a & 0xFFFFFFFF) * b;
#endif
}

// The words of a chunk, in order, from the block `first` on.
FASTNN_INLINE void make_words(const Stream& stream, int64_t first, uint32_t* words) {
  constexpr int n = lanes<uint64_t>;
  Lanes number;
  Vec<int64_t> even, odd;  // places that interleave the first and the second half of two vectors
  for (int i = 0; i < n; ++i) {
    number[i] = static_cast<uint64_t>(i);
    even[i] = i / 2 + i % 2 * n;
    odd[i] = even[i] + n / 2;
  }
  number += static_cast<uint64_t>(first);
  for (int done = 0; done < chunk; done += 4 * n, number += n) {
    auto [w] = philox(stream, number, multiply_low);
    Lanes a = (w[0] & 0xFFFFFFFF) | w[1] << 32, b = (w[2] & 0xFFFFFFFF) | w[3] << 32;
    store(reinterpret_cast<uint64_t*>(words + done), shuffle<uint64_t>(a, b, even));
    store(reinterpret_cast<uint64_t*>(words + done + 2 * n), shuffle<uint64_t>(a, b, odd));
  }
}

// Calls use(words, x, out) for one chunk of elements after the other, in the items [first, last). A short last chunk
// goes through a copy, so that `use` always has a whole one.
template <class T, int words_per_element, class Use>
FASTNN_INLINE void each_chunk(const Random& r, int64_t first, int64_t last, Use use) {
  constexpr int64_t elements = chunk / words_per_element;
  const Stream stream{r.seed, static_cast<uint64_t>(*r.step), r.ordinal, r.purpose};
  T* out = static_cast<T*>(r.out);
  const T* x = r.x ? static_cast<const T*>(r.x) : out;
  alignas(64) uint32_t words[chunk];
  const int64_t end = last * block < r.count ? last * block : r.count;
  for (int64_t i = first * block; i < end; i += elements) {
    make_words(stream, i * words_per_element / 4, words);
    if (end - i >= elements) {
      use(words, x + i, out + i);
    } else {
      T copy[elements] = {};
      const size_t bytes = static_cast<size_t>(end - i) * sizeof(T);
      __builtin_memcpy(copy, x + i, bytes);
      use(words, copy, copy);
      __builtin_memcpy(out + i, copy, bytes);
    }
  }
}

Work each_chunk_work(const Random& r, double nanoseconds_per_element) {
  return {1, {(r.count + block - 1) / block, 0, 0}, {nanoseconds_per_element * block, 0, 0}, 0, 0};
}

// ---- dropout ----------------------------------------------------------------------------------------------------

// One word in each lane of T's width.
template <class T>
FASTNN_INLINE Vec<Unsigned<T>> load_words(const uint32_t* words) {
  if constexpr (sizeof(T) == 4) {
    return load(words);
  } else {
#if defined(__AVX512F__)
    return (Lanes)_mm512_maskz_cvtepu32_epi64(0xFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
#elif defined(__AVX2__)
    return (Lanes)_mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words)));
#else
    typedef uint32_t Half __attribute__((vector_size(vector_bytes / 2)));
    Half half;
    __builtin_memcpy(&half, words, sizeof half);
    return __builtin_convertvector(half, Lanes);
#endif
  }
}

template <class T>
void dropout(const Random& r, int64_t first, int64_t last) {
  const float p = static_cast<float>(r.a) * 0x1p24f;
  const Int<T> whole = static_cast<Int<T>>(p), threshold = whole + (static_cast<float>(whole) < p);
  const T scale = static_cast<T>(r.a == 1 ? 0 : 1 / (1 - r.a));
  each_chunk<T, 1>(r, first, last, [=](const uint32_t* words, const T* x, T* out) {
    for (int i = 0; i < chunk; i += lanes<T>) {
      Vec<Int<T>> u = bits_as<Vec<Int<T>>>(load_words<T>(words + i) >> 8);
      store(out + i, u >= threshold ? load(x + i) * scale : Vec<T>{});
    }
  });
}

Work dropout_work(const Random& r) { return each_chunk_work(r, 0.5); }

void dropout_run(const Random& r, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  if (r.dtype == DType::float32) dropout<float>(r, first, last);
  else dropout<double>(r, first, last);
}

// ---- uniform ----------------------------------------------------------------------------------------------------

FASTNN_INLINE Vec<float> uniform01(const uint32_t* words, float) {
  return __builtin_convertvector(bits_as<Vec<int32_t>>(load(words) >> 8), Vec<float>) * 0x1p-24f;
}

// 53 bits become floating point through the bits of 2^84 (the high 21) and of 2^52 (the low 32); every sum is exact.
FASTNN_INLINE Vec<double> uniform01(const uint32_t* words, double) {
  Lanes bits = load(reinterpret_cast<const uint64_t*>(words));
  bits = (bits << 32 | bits >> 32) >> 11;
  Vec<double> high = bits_as<Vec<double>>(bits >> 32 | bits_as<uint64_t>(0x1p84));
  Vec<double> low = bits_as<Vec<double>>((bits & 0xFFFFFFFF) | bits_as<uint64_t>(0x1p52));
  return ((high - (0x1p84 + 0x1p52)) + low) * 0x1p-53;
}

template <class T>
constexpr int words_of = sizeof(T) / 4;

template <class T>
void uniform(const Random& r, int64_t first, int64_t last) {
  const T low = static_cast<T>(r.a), range = static_cast<T>(r.b - r.a);
  each_chunk<T, words_of<T>>(r, first, last, [=](const uint32_t* words, const T*, T* out) {
    for (int i = 0; i < chunk / words_of<T>; i += lanes<T>)
      store(out + i, low + uniform01(words + i * words_of<T>, T{}) * range);
  });
}

Work uniform_work(const Random& r) { return each_chunk_work(r, 0.15 * static_cast<double>(item_size(r.dtype))); }

void uniform_run(const Random& r, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  if (r.dtype == DType::float32) uniform<float>(r, first, last);
  else uniform<double>(r, first, last);
}

// ---- normal -----------------------------------------------------------------------------------------------------

// p to z, in place. Two loops: one chain of logarithm, root and quotient is too long for two vectors to overlap.
template <bool has_far_tail, int count>
FASTNN_INLINE void inverse_normal(double (&p)[count]) {
  alignas(64) double root[count];
  for (int i = 0; i < count; i += lanes<double>) store(root + i, tail_root(load(p + i)));
  for (int i = 0; i < count; i += lanes<double>)
    store(p + i, normal_quantile<has_far_tail>(load(p + i), load(root + i)));
}

template <class T>
void normal(const Random& r, int64_t first, int64_t last) {
  const double mean = r.a, std = r.b;
  each_chunk<T, words_of<T>>(r, first, last, [=](const uint32_t* words, const T*, T* out) {
    constexpr int count = chunk / words_of<T>;
    alignas(64) double z[count];
    for (int i = 0; i < count; i += lanes<double>) {
      // A word becomes floating point through the bits of 2^52. Its p stays clear of the far tail.
      if constexpr (sizeof(T) == 8) store(z + i, uniform01(words + 2 * i, T{}) + 0x1p-54);
      else
        store(z + i,
              (bits_as<Vec<double>>(load_words<double>(words + i) | bits_as<uint64_t>(0x1p52)) - (0x1p52 - 0.5)) *
                  0x1p-32);
    }
    inverse_normal<sizeof(T) == 8>(z);
    for (int i = 0; i < count; ++i) out[i] = static_cast<T>(mean + std * z[i]);
  });
}

Work normal_work(const Random& r) { return each_chunk_work(r, 5); }

void normal_run(const Random& r, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  if (r.dtype == DType::float32) normal<float>(r, first, last);
  else normal<double>(r, first, last);
}

// ---- permutation ------------------------------------------------------------------------------------------------

Work permutation_work(const Permutation& p) { return {1, {1, 0, 0}, {3.0 * static_cast<double>(p.count), 0, 0}, 0, 0}; }

// A chunk of partners at a time, so that their cache misses overlap.
void permutation_run(const Permutation& p, int, int64_t, int64_t, std::byte*, std::byte*) {
  constexpr int64_t elements = chunk / 2;
  const Stream stream{p.seed, p.epoch, 0, purpose_shuffle};
  int64_t* order = p.out;
  for (int64_t i = 0; i < p.count; ++i) order[i] = i;
  alignas(64) uint32_t words[chunk];
  int64_t partner[elements];
  for (int64_t begin = (p.count - 1) / elements * elements; begin >= 0; begin -= elements) {
    make_words(stream, begin / 2, words);
    const int64_t n = p.count - begin < elements ? p.count - begin : elements;
    for (int64_t k = 0; k < n; ++k) {
      const uint64_t bits = uint64_t{words[2 * k]} << 32 | words[2 * k + 1];
      partner[k] =
          static_cast<int64_t>(static_cast<unsigned __int128>(bits) * static_cast<uint64_t>(begin + k + 1) >> 64);
      __builtin_prefetch(order + partner[k], 1);
    }
    for (int64_t k = n - 1; k >= 0; --k) {
      const int64_t moved = order[begin + k];
      order[begin + k] = order[partner[k]];
      order[partner[k]] = moved;
    }
  }
}

}  // namespace

namespace FASTNN_ISA {
void register_random(KernelTable& table) {
  table.uniform = {uniform_work, uniform_run};
  table.normal = {normal_work, normal_run};
  table.dropout = {dropout_work, dropout_run};
  table.permutation = {permutation_work, permutation_run};
}
}  // namespace FASTNN_ISA

}  // namespace fastnn
