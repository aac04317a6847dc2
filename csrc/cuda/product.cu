// matmul and linear: c = beta c + alpha a b, then + bias, then activation, then the gradient of an activation.
// matmul_sgd_update: the same c is the gradient of a parameter, which is updated at once. The expression of an element
// is that of cpu/product.cpp: K is folded in chunks of 256 by fused multiply-adds, and chunks are merged in order.
//
// Why it is fast. A block of threads makes a tile of c. It goes along K in steps of 16: what a step needs of a and b is
// in shared memory, in two buffers, of which one is filled while the other is used; operands for the next step are on
// their way into registers meanwhile. A thread keeps up to 8 x 8 sums in registers, so that two loads of four numbers
// feed 64 multiply-adds. K is never shared out: an element belongs to one thread. What follows the sum is done when the
// tile is finished, row by row through shared memory, so that bias, saved results and parameters are read, and c is
// written, in whole lines.
#include "cuda/product.h"

#include "cuda/expressions.h"
#include "cuda/launch.h"
#include "cuda/rule.h"

namespace fastnn::cuda {
namespace {

constexpr int chunk = 256;  // of K: fixes the bits
constexpr int depth = 16;   // of a step

template <class T>
constexpr int pack_elements = 16 / sizeof(T);  // that a thread moves at once

template <class T, int n>
struct alignas(n * sizeof(T)) Pack {
  T v[n];
};

// One operand as its tile sees it: `lines` of k elements each; the tile's rows for a, its columns for b.
template <class T>
struct Operand {
  const T* from;
  int64_t lines, line_stride, k_stride;
  bool along_k;  // neighbouring threads take neighbouring k, else neighbouring lines
  bool packed;   // neighbours are adjacent and aligned: they are read sixteen bytes at a time
};

template <class T>
struct ProductCall {
  Operand<T> a, b;
  Product p;
};

// Carries a slab of `lines` x depth elements of an operand from memory through registers to shared memory, where it
// stands as [k][line]. Lines are padded by 4 elements, so that what stands turned does not meet in one bank.
template <class T, int lines, int threads>
struct Slab {
  static constexpr int pitch = lines + 16 / sizeof(T);
  static constexpr int n = pack_elements<T>, packs = lines * depth / n;
  static constexpr int per_thread = (packs + threads - 1) / threads;
  T held[per_thread][n];

  // The place of a pack of this thread: a line and a k, the first of the pack.
  static FASTNN_INLINE void place(const Operand<T>& x, int number, int& line, int& k) {
    if (x.along_k) {
      line = number / (depth / n);
      k = number % (depth / n) * n;
    } else {
      k = number / (lines / n);
      line = number % (lines / n) * n;
    }
  }

  FASTNN_INLINE void load(const Operand<T>& x, int64_t first_line, int64_t first_k, int64_t last_k) {
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      const int number = i * threads + static_cast<int>(threadIdx.x);
      if (packs % threads != 0 && number >= packs) break;
      int line, k;
      place(x, number, line, k);
      const int64_t at_line = first_line + line, at_k = first_k + k;
      const T* from = x.from + at_line * x.line_stride + at_k * x.k_stride;
      const int64_t left = x.along_k ? (at_line < x.lines ? last_k - at_k : 0) : (at_k < last_k ? x.lines - at_line : 0);
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

  FASTNN_INLINE void store(const Operand<T>& x, T (*to)[pitch]) const {
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      const int number = i * threads + static_cast<int>(threadIdx.x);
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

// A thread's lines of a tile stand in groups of one pack, so that a group is one load, and the groups of neighbouring
// threads are adjacent.
template <class T, int of_thread>
constexpr int group = of_thread < pack_elements<T> ? of_thread : pack_elements<T>;

template <class T, int of_thread, int threads>
FASTNN_INLINE int line_of(int thread, int i) {
  constexpr int g = group<T, of_thread>;
  return i / g * (threads * g) + thread * g + i % g;
}

template <class T, int of_thread, int threads>
FASTNN_INLINE void read_lines(const T* from, int thread, T (&to)[of_thread]) {
  constexpr int g = group<T, of_thread>;
#pragma unroll
  for (int i = 0; i < of_thread; i += g) {
    const Pack<T, g> pack = *reinterpret_cast<const Pack<T, g>*>(from + line_of<T, of_thread, threads>(thread, i));
#pragma unroll
    for (int e = 0; e < g; ++e) to[i + e] = pack.v[e];
  }
}

// What follows the sum, for one element.
template <class T>
FASTNN_INLINE void finish(const Product& p, const SgdRule<T>* rule, int64_t row, int64_t column, T v) {
  if (p.bias) v = v + static_cast<const T*>(p.bias)[column];
  v = activate<T>(p.activation, v);
  if (p.y) v = activate_backward<T>(p.backward, v, static_cast<const T*>(p.y)[row * p.y_row + column]);
  if (!p.update.param) {
    static_cast<T*>(p.c)[row * p.c_row + column] = v;
    return;
  }
  const int64_t at = row * p.n + column;
  T* velocity = static_cast<T*>(p.update.velocity);
  T &param = static_cast<T*>(p.update.param)[at], moved{0};
  T value = param;
  if (rule->moves) moved = velocity[at];
  (*rule)(value, v, moved);
  param = value;
  if (rule->moves) velocity[at] = moved;
}

template <class T, int rows, int columns, int thread_rows, int thread_columns>
FASTNN_KERNEL(rows / thread_rows * (columns / thread_columns))
    product_kernel(const __grid_constant__ ProductCall<T> call) {
  constexpr int across = columns / thread_columns, down = rows / thread_rows, threads = across * down;
  using SlabA = Slab<T, rows, threads>;
  using SlabB = Slab<T, columns, threads>;
  alignas(16) __shared__ T a_steps[2][depth][SlabA::pitch];
  alignas(16) __shared__ T b_steps[2][depth][SlabB::pitch];
  const Product& p = call.p;
  const int thread_column = static_cast<int>(threadIdx.x) % across, thread_row = static_cast<int>(threadIdx.x) / across;
  const int64_t tiles_across = ceil_div(p.n, columns);
  const int64_t first_row = blockIdx.x / tiles_across * rows, first_column = blockIdx.x % tiles_across * columns;
  const T alpha = static_cast<T>(p.alpha), beta = static_cast<T>(p.beta);

  T c[thread_rows][thread_columns], sum[thread_rows][thread_columns];
#pragma unroll
  for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
    for (int j = 0; j < thread_columns; ++j) c[i][j] = sum[i][j] = T{0};
  }

  SlabA of_a;
  SlabB of_b;
  of_a.load(call.a, first_row, 0, p.k);
  of_b.load(call.b, first_column, 0, p.k);
  of_a.store(call.a, a_steps[0]);
  of_b.store(call.b, b_steps[0]);
  __syncthreads();
  const int steps = static_cast<int>(at_least(1, ceil_div(p.k, depth)));
  bool first = true;
  for (int step = 0; step < steps; ++step) {
    const int now = step % 2;
    const bool more = step + 1 < steps;
    if (more) {
      of_a.load(call.a, first_row, (step + 1) * int64_t{depth}, p.k);
      of_b.load(call.b, first_column, (step + 1) * int64_t{depth}, p.k);
    }
    // Behind the end of K there is nothing to add: a product of zeros could be -0, and of the operands' NaN it is NaN.
    const int64_t left = p.k - step * int64_t{depth};
    auto multiply = [&](int k) {
      T of_rows[thread_rows], of_columns[thread_columns];
      read_lines<T, thread_rows, down>(a_steps[now][k], thread_row, of_rows);
      read_lines<T, thread_columns, across>(b_steps[now][k], thread_column, of_columns);
#pragma unroll
      for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
        for (int j = 0; j < thread_columns; ++j) sum[i][j] = fma<T>(of_rows[i], of_columns[j], sum[i][j]);
      }
    };
    if (left >= depth) {
#pragma unroll
      for (int k = 0; k < depth; ++k) multiply(k);
    } else {
#pragma unroll 1
      for (int k = 0; k < left; ++k) multiply(k);
    }
    if (!more || (step + 1) % (chunk / depth) == 0) {
#pragma unroll
      for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
        for (int j = 0; j < thread_columns; ++j) {
          if (!first) {
            c[i][j] = fma<T>(alpha, sum[i][j], c[i][j]);
          } else if (beta == T{0}) {
            c[i][j] = alpha * sum[i][j];
          } else {
            const int64_t row = first_row + line_of<T, thread_rows, down>(thread_row, i);
            const int64_t column = first_column + line_of<T, thread_columns, across>(thread_column, j);
            const T old = row < p.m && column < p.n ? static_cast<const T*>(p.c)[row * p.c_row + column] : T{0};
            c[i][j] = fma<T>(alpha, sum[i][j], beta * old);
          }
          sum[i][j] = T{0};
        }
      }
      first = false;
    }
    if (more) {
      of_a.store(call.a, a_steps[1 - now]);
      of_b.store(call.b, b_steps[1 - now]);
    }
    __syncthreads();
  }

  // A row of every thread at a time: `down` rows of the tile, in the memory of the steps.
  const SgdRule<T>* rule = p.update.param ? made_once<SgdRule<T>>(p.update) : nullptr;
  T(*strip)[SlabB::pitch] = b_steps[0];
  static_assert(down <= 2 * depth);
#pragma unroll 1
  for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
    for (int k = 0; k < thread_rows; ++k) {
      if (k != i) continue;
#pragma unroll
      for (int j = 0; j < thread_columns; ++j)
        strip[thread_row][line_of<T, thread_columns, across>(thread_column, j)] = c[k][j];
    }
    __syncthreads();
#pragma unroll 1
    for (int number = static_cast<int>(threadIdx.x); number < down * columns; number += threads) {
      const int64_t row = first_row + line_of<T, thread_rows, down>(number / columns, i);
      const int64_t column = first_column + number % columns;
      if (row < p.m && column < p.n) finish<T>(p, rule, row, column, strip[number / columns][number % columns]);
    }
    __syncthreads();
  }
}

// ---- on the host --------------------------------------------------------------------------------------------------

template <class T>
Operand<T> operand(const void* from, int64_t lines, int64_t line_stride, int64_t k_stride) {
  constexpr int64_t n = pack_elements<T>;
  const bool along_k = k_stride == 1 || line_stride != 1;
  const int64_t neighbours = along_k ? k_stride : line_stride, apart = along_k ? line_stride : k_stride;
  const bool aligned = reinterpret_cast<uintptr_t>(from) % 16 == 0 && apart % n == 0;
  return {static_cast<const T*>(from), lines, line_stride, k_stride, along_k, neighbours == 1 && aligned};
}

template <class T, int rows, int columns, int thread_rows, int thread_columns>
void launch_tile(const ProductCall<T>& call) {
  constexpr Tile tile{rows, columns, thread_rows, thread_columns};
  launch(product_kernel<T, rows, columns, thread_rows, thread_columns>,
         Geometry{static_cast<unsigned>(blocks_of(tile, call.p.m, call.p.n)), static_cast<unsigned>(tile.threads())},
         call);
}

template <class T, const auto& tiles, int... number>
void launch_chosen(const ProductCall<T>& call, int chosen, std::integer_sequence<int, number...>) {
  ((number == chosen ? launch_tile<T, tiles[number].rows, tiles[number].columns, tiles[number].thread_rows,
                                   tiles[number].thread_columns>(call)
                     : void()),
   ...);
}

template <class T, const auto& tiles>
void run(const Product& p) {
  const ProductCall<T> call{operand<T>(p.a, p.m, p.a_row, p.a_column), operand<T>(p.b, p.n, p.b_column, p.b_row), p};
  launch_chosen<T, tiles>(call, choose_tile(tiles, p.m, p.n, device().multiprocessors),
                          std::make_integer_sequence<int, sizeof(tiles) / sizeof(Tile)>{});
}

void product(const Product& p, std::byte*) {
  if (p.m == 0 || p.n == 0) return;
  if (p.dtype == DType::float32) run<float, float_tiles>(p);
  else run<double, double_tiles>(p);
}

}  // namespace

void register_product(Table<DeviceKernel>& table) {
  table.matmul = table.linear = table.matmul_sgd_update = {nullptr, product};
}

}  // namespace fastnn::cuda
