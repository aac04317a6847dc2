// uniform, normal, dropout, permutation: random numbers by counters (array/philox.h), each a function of its position,
// by the expressions of cpu/random.cpp.
//
// Why it is fast. A thread makes a block of four words and uses all of them; no state is read or kept.
#include "array/philox.h"
#include "cuda/expressions.h"
#include "cuda/launch.h"

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
struct Uniform {
  static constexpr int elements = 16 / sizeof(T);  // of a block of words
  T low, range;
  explicit Uniform(const Random& r) : low(static_cast<T>(r.a)), range(static_cast<T>(r.b - r.a)) {}
  FASTNN_INLINE T operator()(const Words& words, int i, T) const { return low + uniform01(words, i, T{}) * range; }
};

template <class T>
struct Normal {
  static constexpr int elements = 16 / sizeof(T);
  double mean, std;
  explicit Normal(const Random& r) : mean(r.a), std(r.b) {}
  FASTNN_INLINE T operator()(const Words& words, int i, T) const {
    double p;
    // A word's p stays clear of the far tail.
    if constexpr (sizeof(T) == 8) p = uniform01(words, i, T{}) + 0x1p-54;
    else p = (static_cast<double>(words.word[i]) + 0.5) * 0x1p-32;
    return static_cast<T>(mean + std * normal_quantile<sizeof(T) == 8>(p, tail_root(p)));
  }
};

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

template <class T, class Use>
FASTNN_KERNEL(256)
random_numbers(const __grid_constant__ Random r, Use use) {
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

template <template <class> class Use>
DeviceKernel<Random> numbers() {
  return {nullptr, [](const Random& r, std::byte*) {
            if (r.count == 0) return;
            auto run = [&]<class T>(T) {
              launch(random_numbers<T, Use<T>>, geometry_of(r.count, Use<T>::elements), r, Use<T>(r));
            };
            if (r.dtype == DType::float32) run(float{});
            else run(double{});
          }};
}

// ---- permutation --------------------------------------------------------------------------------------------------

constexpr int partners = 256;

// One block of threads: partners are found by all, a chunk at a time, and swapped by one, because each swap needs those
// before it. A CPU does this faster; training makes its permutations there.
FASTNN_KERNEL(partners) permute(const __grid_constant__ Permutation p) {
  __shared__ int64_t partner[partners];
  const Stream stream{p.seed, p.epoch, 0, purpose_shuffle};
  for (int64_t i = threadIdx.x; i < p.count; i += partners) p.out[i] = i;
  for (int64_t begin = (p.count - 1) / partners * partners; begin >= 0; begin -= partners) {
    const int64_t i = begin + threadIdx.x;
    const uint64_t bits = pair_of(words_of(stream, i / 2), static_cast<int>(i % 2));
    __syncthreads();
    partner[threadIdx.x] = static_cast<int64_t>(__umul64hi(bits, static_cast<uint64_t>(i + 1)));
    __syncthreads();
    if (threadIdx.x != 0) continue;
    for (int64_t k = at_most(partners, p.count - begin) - 1; k >= 0; --k) {
      const int64_t moved = p.out[begin + k];
      p.out[begin + k] = p.out[partner[k]];
      p.out[partner[k]] = moved;
    }
  }
}

void permutation(const Permutation& p, std::byte*) {
  if (p.count > 0) launch(permute, Geometry{1, partners}, p);
}

}  // namespace

void register_random(Table<DeviceKernel>& table) {
  table.uniform = numbers<Uniform>();
  table.normal = numbers<Normal>();
  table.dropout = numbers<Dropout>();
  table.permutation = {nullptr, permutation};
}

}  // namespace fastnn::cuda
