// uniform, normal, dropout, permutation: random numbers by counters (array/philox.h), each a function of its position,
// by the expressions of cpu/random.cpp.
//
// Why it is fast. A thread makes a block of four words and uses all of them; no state is read or kept.
#include "cuda/launch.h"
#include "cuda/random.h"

namespace fastnn::cuda {
namespace {

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

template <class T, class Use>
FASTNN_KERNEL(256)
random_numbers(const __grid_constant__ Random r, Use use) {
  random_elements<T>(r, use);
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
  table.dropout = {nullptr, [](const Random& r, std::byte* workspace) {
                     const Dropping dropping{r};
                     const Noting noting(&dropping);
                     numbers<Dropout>().launch(r, workspace);
                   }};
  table.permutation = {nullptr, permutation};
}

}  // namespace fastnn::cuda
