// matmul and linear: c = beta c + alpha a b, then + bias, then activation, then the gradient of an activation.
// matmul_sgd_update: the same c is the gradient of a parameter, which is updated at once. The expression of an element
// is that of cpu/product.cpp: K is folded in chunks of 256 by fused multiply-adds, and chunks are merged in order.
//
// Why it is fast. A block of threads makes a tile of c, whose sums are in registers (slab.h). For a small c there are
// few tiles, and a tile takes long where K is long: there, four groups of threads make the sums of four chunks at a
// time, which are then merged in order; the order of additions is the same. What follows the sum is done when the tile
// is finished, from shared memory, by threads that run along rows: bias, saved results and parameters are read, and c
// is written, in whole lines.
//
// In tf32 and bf16 cuBLASLt makes a b (cublaslt.h), and one more kernel what follows it, where anything does.
#include <utility>

#include "cuda/cublaslt.h"
#include "cuda/finish.h"
#include "cuda/launch.h"
#include "cuda/narrow.h"
#include "cuda/product.h"
#include "cuda/slab.h"

namespace fastnn::cuda {
namespace {

constexpr int finish_threads = 256;

template <class T>
struct ProductCall {
  Operand<T> a, b;
  Product p;
};

FASTNN_INLINE int steps_of(int64_t k, int of_step) {
  return static_cast<int>(ceil_div(at_most(k, product_chunk), of_step));
}

// The place of this block's tile in c.
template <int rows, int columns>
struct Corner {
  int64_t row, column;

  FASTNN_INLINE explicit Corner(const Product& p) {
    const int64_t across = ceil_div(p.n, columns);
    row = blockIdx.x / across * rows;
    column = blockIdx.x % across * columns;
  }
};

// c stays in registers.
template <class T, int rows, int columns, int thread_rows, int thread_columns>
FASTNN_KERNEL(rows / thread_rows * (columns / thread_columns))
large_product(const __grid_constant__ ProductCall<T> call) {
  using G = Group<T, rows, columns, thread_rows, thread_columns>;
  __shared__ typename G::Steps steps;
  const Product& p = call.p;
  const Corner<rows, columns> corner(p);
  G group;
  T c[thread_rows][thread_columns];
  group.each_element([&](int i, int j) { c[i][j] = T{0}; });
  for (int64_t k = 0; k == 0 || k < p.k; k += product_chunk) {
    group.fold(call.a, call.b, corner.row, corner.column, k, at_most(k + product_chunk, p.k),
               steps_of(p.k - k, depth<T>), steps);
    group.each_element([&](int i, int j) {
      c[i][j] = merged(p, k == 0, corner.row + group.row(i), corner.column + group.column(j), group.sum[i][j], c[i][j]);
    });
  }

  // A row of every thread at a time, in the memory of the steps.
  const SgdRule<T>* rule = rule_of<T>(p);
  T* strip = &steps.a[0][0][0];
  static_assert(sizeof(steps) >= G::down * columns * sizeof(T));
#pragma unroll 1
  for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
    for (int k = 0; k < thread_rows; ++k) {
      if (k != i) continue;
#pragma unroll
      for (int j = 0; j < thread_columns; ++j) strip[group.thread_row * columns + group.column(j)] = c[k][j];
    }
    __syncthreads();
#pragma unroll 1
    for (int e = group.thread; e < G::down * columns; e += G::threads) {
      const int row = line_of<T, thread_rows, G::down>(e / columns, i);
      finish(p, rule, corner.row + row, corner.column + e % columns, strip[e]);
    }
    __syncthreads();
  }
}

// c stays in shared memory, where a thread sees to its own elements.
template <class T, int rows, int columns, int thread_rows, int thread_columns, int groups>
FASTNN_KERNEL(groups*(rows / thread_rows * (columns / thread_columns)))
small_product(const __grid_constant__ ProductCall<T> call) {
  using G = Group<T, rows, columns, thread_rows, thread_columns>;
  constexpr int elements = rows * columns;
  // The sums of all groups, when they are made, in the memory of the steps.
  __shared__ union {
    typename G::Steps steps[groups];
    T sums[groups][elements];
  } shared;
  __shared__ T c[elements];
  const Product& p = call.p;
  const Corner<rows, columns> corner(p);
  const int thread = static_cast<int>(threadIdx.x), number = thread / G::threads;
  G group;
  for (int64_t k = 0; k == 0 || k < p.k; k += groups * product_chunk) {
    const int64_t first_k = k + number * product_chunk;
    group.fold(call.a, call.b, corner.row, corner.column, first_k, at_most(first_k + product_chunk, p.k),
               steps_of(p.k - k, depth<T>), shared.steps[number]);
    group.each_element(
        [&](int i, int j) { shared.sums[number][group.row(i) * columns + group.column(j)] = group.sum[i][j]; });
    __syncthreads();
    const int chunks = static_cast<int>(at_least(1, at_most(groups, ceil_div(p.k - k, product_chunk))));
#pragma unroll 1
    for (int e = thread; e < elements; e += groups * G::threads) {
      T v = k == 0 ? T{0} : c[e];
      for (int chunk = 0; chunk < chunks; ++chunk)
        v = merged(p, k == 0 && chunk == 0, corner.row + e / columns, corner.column + e % columns,
                   shared.sums[chunk][e], v);
      c[e] = v;
    }
    __syncthreads();
  }
  const SgdRule<T>* rule = rule_of<T>(p);
#pragma unroll 1
  for (int e = thread; e < elements; e += groups * G::threads)
    finish(p, rule, corner.row + e / columns, corner.column + e % columns, c[e]);
}

template <class T>
FASTNN_KERNEL(row_threads)
narrow_product(const __grid_constant__ Product p) {
  narrow_elements<T>(p);
}

// What follows the product, which stands in memory already.
FASTNN_KERNEL(finish_threads)
finish_product(const __grid_constant__ Product p, const float* made, int64_t made_row) {
  const SgdRule<float>* rule = rule_of<float>(p);
  const int64_t column = blockIdx.x * int64_t{finish_threads} + threadIdx.x;
  if (column >= p.n) return;
  for (int64_t row = blockIdx.y; row < p.m; row += gridDim.y)
    finish(p, rule, row, column, merged(p, true, row, column, made[row * made_row + column], 0.0f));
}

// ---- on the host --------------------------------------------------------------------------------------------------

template <class T, const auto& tiles, int number>
void launch_tile(const ProductCall<T>& call) {
  constexpr Tile t = tiles[number];
  const Geometry geometry{static_cast<unsigned>(blocks_of(t, call.p.m, call.p.n)), static_cast<unsigned>(t.threads())};
  if constexpr (t.in_registers())
    launch(large_product<T, t.rows, t.columns, t.thread_rows, t.thread_columns>, geometry, call);
  else launch(small_product<T, t.rows, t.columns, t.thread_rows, t.thread_columns, t.groups>, geometry, call);
}

template <class T, const auto& tiles>
void run(const Product& p) {
  const ProductCall<T> call{operand<T>(p.a, p.m, p.a_row, p.a_column), operand<T>(p.b, p.n, p.b_column, p.b_row), p};
  const int chosen = choose_tile(tiles, p.m, p.n, p.k, device().multiprocessors);
  [&]<int... number>(std::integer_sequence<int, number...>) {
    ((number == chosen ? launch_tile<T, tiles, number>(call) : void()), ...);
  }(std::make_integer_sequence<int, sizeof(tiles) / sizeof(Tile)>{});
}

// Where cuBLASLt puts a product: into c, unless that is added to, or is no place for it.
bool is_made_in_c(const Product& p) { return !p.update.param && p.beta == 0 && (p.m == 1 || p.c_row >= p.n); }

bool is_by_library(const Product& p) { return p.precision != Precision::float32 && p.m > 0 && p.n > 0 && p.k > 0; }

int64_t bytes_beside_c(const Product& p) {
  return is_made_in_c(p) ? 0 : ceil_div(p.m * p.n * int64_t{sizeof(float)}, 256) * 256;
}

int64_t workspace(const Product& p) {
  if (!is_by_library(p)) return 0;
  return bytes_beside_c(p) +
         (is_made_in_c(p) ? cublaslt::workspace(p, p.c, p.c_row) : cublaslt::workspace(p, nullptr, p.n));
}

void run_by_library(const Product& p, std::byte* memory) {
  const bool in_c = is_made_in_c(p);
  float* made = in_c ? static_cast<float*>(p.c) : reinterpret_cast<float*>(memory);
  const int64_t made_row = in_c ? p.c_row : p.n;
  note_launch();
  cublaslt::multiply(p, made, made_row, memory + bytes_beside_c(p));
  const bool is_done = in_c && p.alpha == 1 && !p.bias && p.activation == Activation::none && !p.y;
  if (is_done) return;
  const Geometry geometry{
      {static_cast<unsigned>(ceil_div(p.n, finish_threads)), static_cast<unsigned>(at_most(p.m, 1 << 14))},
      finish_threads};
  launch(finish_product, geometry, p, static_cast<const float*>(made), made_row);
}

void product(const Product& p, std::byte* memory) {
  if (p.m == 0 || p.n == 0) return;
  if (is_by_library(p)) return run_by_library(p, memory);
  const Noting noting(&p);
  if (p.dtype == DType::float32) run<float, float_tiles>(p);
  else run<double, double_tiles>(p);
}

void linear(const Product& p, std::byte* memory) {
  if (!is_narrow(p.n, p.k) || is_by_library(p)) return product(p, memory);
  if (p.m == 0 || p.n == 0) return;
  const NarrowProduct narrow{p};
  const Noting noting(&narrow);
  const Geometry geometry = half_warps(p.m * p.n);
  if (p.dtype == DType::float32) launch(narrow_product<float>, geometry, p);
  else launch(narrow_product<double>, geometry, p);
}

}  // namespace

void register_product(Table<DeviceKernel>& table) {
  table.matmul = table.matmul_sgd_update = {workspace, product};
  table.linear = {workspace, linear};
}

}  // namespace fastnn::cuda
