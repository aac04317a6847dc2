// What this machine can do at most: multiply-adds on registers, and copies of memory, on a number of threads.
// Compiled by benchmarks/machine.py for the machine it runs on, and called through ctypes.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

// 12 sums: more than two units with a latency of 4 cycles keep busy, and with the factors they fit 16 registers.
constexpr int sums = 12;

using Clock = std::chrono::steady_clock;

// Runs body(thread) on every thread at once; seconds from the first start to the last end.
template <class Body>
double together(int threads, Body body) {
  std::vector<Clock::time_point> start(threads), end(threads);
  std::atomic<int> missing{threads};
  const auto run = [&](int thread) {
    missing--;
    while (missing > 0) {
    }
    start[thread] = Clock::now();
    body(thread);
    end[thread] = Clock::now();
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  for (auto& other : others) other.join();
  const auto first = *std::min_element(start.begin(), start.end());
  const auto last = *std::max_element(end.begin(), end.end());
  return std::chrono::duration<double>(last - first).count();
}

template <class Real>
double multiply_add(double flops, int threads) {
  typedef Real Vector __attribute__((vector_size(vector_bytes)));
  const auto rounds = static_cast<int64_t>(flops / (2.0 * threads * sums * (vector_bytes / sizeof(Real)))) + 1;
  std::vector<Real> results(threads);
  return together(threads, [&](int thread) {
    volatile Real half = 0.5;  // the compiler must not know that the sums converge
    const Vector factor = Vector{} + half, step = factor;
    Vector sum[sums];
    for (int i = 0; i < sums; ++i) sum[i] = step * static_cast<Real>(i);
    for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
      for (int i = 0; i < sums; ++i) sum[i] = sum[i] * factor + step;  // contracted: -ffp-contract=fast
    }
    for (int i = 1; i < sums; ++i) sum[0] += sum[i];
    volatile Real sink = sum[0][0];
    results[thread] = sink;
  });
}

}  // namespace

extern "C" {

int probe_vector_bytes() { return vector_bytes; }

double probe_float32(double flops, int threads) { return multiply_add<float>(flops, threads); }

double probe_float64(double flops, int threads) { return multiply_add<double>(flops, threads); }

// Copies `bytes` from source to target `repeats` times, each thread its own part.
double probe_copy(char* target, const char* source, int64_t bytes, int64_t repeats, int threads) {
  return together(threads, [&](int thread) {
    const int64_t first = bytes * thread / threads / 64 * 64;
    const int64_t last = thread + 1 == threads ? bytes : bytes * (thread + 1) / threads / 64 * 64;
    for (int64_t i = 0; i < repeats; ++i) {
      std::memcpy(target + first, source + first, last - first);
      asm volatile("" ::: "memory");  // every copy is made
    }
  });
}
}
