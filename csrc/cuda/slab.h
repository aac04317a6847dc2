// Sums of a product's tile over a range of K: from memory through shared memory into registers.
//
// Why it is fast. A group of threads goes along K in steps. What a step needs of a and b is in shared memory, in two
// buffers, of which one is filled while the other is used, and operands for the next step are on their way into
// registers meanwhile. A thread keeps up to 8 x 8 sums in registers, so that four loads of four numbers feed 64
// multiply-adds.
#pragma once

#include "cuda/lane.h"

namespace fastnn::cuda {
namespace {

template <class T>
inline constexpr int depth = 64 / sizeof(T);  // of a step
template <class T>
inline constexpr int pack_elements = 16 / sizeof(T);  // that a thread moves at once

// One operand as its tile sees it: `lines` of k elements each; the tile's rows for a, its columns for b.
template <class T>
struct Operand {
  const T* from;
  int64_t lines, line_stride, k_stride;
  bool along_k;  // neighbouring threads take neighbouring k, else neighbouring lines
  bool packed;   // neighbours are adjacent and aligned: they are read sixteen bytes at a time
};

// Made by the host.
template <class T>
Operand<T> operand(const void* from, int64_t lines, int64_t line_stride, int64_t k_stride) {
  constexpr int64_t n = pack_elements<T>;
  const bool along_k = k_stride == 1 || line_stride != 1;
  const int64_t neighbours = along_k ? k_stride : line_stride, apart = along_k ? line_stride : k_stride;
  const bool aligned = reinterpret_cast<uintptr_t>(from) % 16 == 0 && apart % n == 0;
  return {static_cast<const T*>(from), lines, line_stride, k_stride, along_k, neighbours == 1 && aligned};
}

// Carries `lines` x depth elements of an operand from memory through registers to shared memory, where they stand as
// [k][line]. Lines are padded, so that what stands turned does not meet in one bank.
template <class T, int lines, int threads>
struct Slab {
  static constexpr int n = pack_elements<T>, pitch = lines + n, packs = lines * depth<T> / n;
  static constexpr int per_thread = (packs + threads - 1) / threads;
  T held[per_thread][n] = {};

  // The place of a pack: a line and a k, the first of the pack.
  static FASTNN_INLINE void place(const Operand<T>& x, int number, int& line, int& k) {
    if (x.along_k) {
      line = number / (depth<T> / n);
      k = number % (depth<T> / n) * n;
    } else {
      k = number / (lines / n);
      line = number % (lines / n) * n;
    }
  }

  // Zeros where there is nothing.
  FASTNN_INLINE void load(const Operand<T>& x, int thread, int64_t first_line, int64_t first_k, int64_t last_k) {
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      const int number = i * threads + thread;
      if (packs % threads != 0 && number >= packs) break;
      int line, k;
      place(x, number, line, k);
      const int64_t at_line = first_line + line, at_k = first_k + k;
      const T* from = x.from + at_line * x.line_stride + at_k * x.k_stride;
      const int64_t left =
          x.along_k ? (at_line < x.lines ? last_k - at_k : 0) : (at_k < last_k ? x.lines - at_line : 0);
      if (x.packed && left >= n) {
        const Pack<T, n> pack = *reinterpret_cast<const Pack<T, n>*>(from);
#pragma unroll
        for (int e = 0; e < n; ++e) held[i][e] = pack.v[e];
      } else {
        const int64_t step = x.along_k ? x.k_stride : x.line_stride;
#pragma unroll
        for (int e = 0; e < n; ++e) held[i][e] = e < left ? from[e * step] : T{0};
      }
    }
  }

  FASTNN_INLINE void store(const Operand<T>& x, int thread, T (*to)[pitch]) const {
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      const int number = i * threads + thread;
      if (packs % threads != 0 && number >= packs) break;
      int line, k;
      place(x, number, line, k);
      if (x.along_k) {
#pragma unroll
        for (int e = 0; e < n; ++e) to[k + e][line] = held[i][e];
      } else {
        Pack<T, n> pack;
#pragma unroll
        for (int e = 0; e < n; ++e) pack.v[e] = held[i][e];
        *reinterpret_cast<Pack<T, n>*>(&to[k][line]) = pack;
      }
    }
  }
};

// A thread's lines of a tile stand in packs, so that a pack is one load, and the packs of neighbouring threads are
// adjacent.
template <class T, int of_thread>
inline constexpr int pack_of_lines = of_thread < pack_elements<T> ? of_thread : pack_elements<T>;

template <class T, int of_thread, int threads>
FASTNN_INLINE int line_of(int thread, int i) {
  constexpr int n = pack_of_lines<T, of_thread>;
  return i / n * (threads * n) + thread * n + i % n;
}

template <class T, int of_thread, int threads>
FASTNN_INLINE void read_lines(const T* from, int thread, T (&to)[of_thread]) {
  constexpr int n = pack_of_lines<T, of_thread>;
#pragma unroll
  for (int i = 0; i < of_thread; i += n) {
    const Pack<T, n> pack = *reinterpret_cast<const Pack<T, n>*>(from + line_of<T, of_thread, threads>(thread, i));
#pragma unroll
    for (int e = 0; e < n; ++e) to[i + e] = pack.v[e];
  }
}

// The threads that sum up a tile, and what each of them holds.
template <class T, int rows, int columns, int thread_rows, int thread_columns>
struct Group {
  static constexpr int across = columns / thread_columns, down = rows / thread_rows, threads = across * down;
  using SlabA = Slab<T, rows, threads>;
  using SlabB = Slab<T, columns, threads>;
  struct Steps {
    alignas(16) T a[2][depth<T>][SlabA::pitch];
    alignas(16) T b[2][depth<T>][SlabB::pitch];
  };
  const int thread = static_cast<int>(threadIdx.x) % threads;
  const int thread_row = thread / across, thread_column = thread % across;
  T sum[thread_rows][thread_columns];

  // The place in the tile of a thread's element.
  FASTNN_INLINE int row(int i) const { return line_of<T, thread_rows, down>(thread_row, i); }
  FASTNN_INLINE int column(int j) const { return line_of<T, thread_columns, across>(thread_column, j); }

  template <class Use>
  FASTNN_INLINE void each_element(Use use) {
#pragma unroll
    for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
      for (int j = 0; j < thread_columns; ++j) use(i, j);
    }
  }

  FASTNN_INLINE void multiply(const T* a, const T* b) {
    T of_rows[thread_rows], of_columns[thread_columns];
    read_lines<T, thread_rows, down>(a, thread_row, of_rows);
    read_lines<T, thread_columns, across>(b, thread_column, of_columns);
    each_element([&](int i, int j) { sum[i][j] = fma<T>(of_rows[i], of_columns[j], sum[i][j]); });
  }

  // sum = fma(a[i][k], b[k][j], sum) for k in order, from 0, in `steps` steps, which are the same number for all groups
  // of a block. When it returns, all threads of the block are done with `shared`.
  FASTNN_INLINE void fold(const Operand<T>& a, const Operand<T>& b, int64_t first_row, int64_t first_column,
                          int64_t first_k, int64_t last_k, int steps, Steps& shared) {
    each_element([&](int i, int j) { sum[i][j] = T{0}; });
    SlabA of_a;
    SlabB of_b;
    of_a.load(a, thread, first_row, first_k, last_k);
    of_b.load(b, thread, first_column, first_k, last_k);
    of_a.store(a, thread, shared.a[0]);
    of_b.store(b, thread, shared.b[0]);
    __syncthreads();
    for (int step = 0; step < steps; ++step, first_k += depth<T>) {
      const int now = step % 2;
      const bool more = step + 1 < steps;
      if (more) {
        of_a.load(a, thread, first_row, first_k + depth<T>, last_k);
        of_b.load(b, thread, first_column, first_k + depth<T>, last_k);
      }
      // Behind the end of K nothing is added: zeros times infinities would be NaN.
      if (last_k - first_k >= depth<T>) {
#pragma unroll
        for (int k = 0; k < depth<T>; ++k) multiply(shared.a[now][k], shared.b[now][k]);
      } else {
#pragma unroll 1
        for (int k = 0; k < last_k - first_k; ++k) multiply(shared.a[now][k], shared.b[now][k]);
      }
      if (more) {
        of_a.store(a, thread, shared.a[1 - now]);
        of_b.store(b, thread, shared.b[1 - now]);
      }
      __syncthreads();
    }
  }
};

}  // namespace
}  // namespace fastnn::cuda
