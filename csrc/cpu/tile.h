// The tile of a product: so many rows and columns of c in registers, and what is done with them before they are stored.
#pragma once

#include "cpu/activation.h"

namespace fastnn {
namespace {

constexpr int max_height = vector_registers == 32 ? 14 : 6;  // rows of a tile
constexpr int tile_vectors = 2;                              // columns of a tile, in vectors
template <class T>
constexpr int tile_width = tile_vectors * lanes<T>;

// What follows the product when the last chunk is done, while a tile is in registers: + bias, relu, the gradient of
// relu. Or plain SGD, for which the product is the gradient. All of it starts at the tile's first element.
template <class T>
struct Ending {
  const T* bias;         // null: none
  bool is_bias_of_rows;  // of the tile; else of its columns
  bool is_relu;
  const T* y;  // null, or the result of the relu whose gradient is taken
  int64_t y_row;
  bool updates;  // c is a parameter: c = fma(minus_lr, gradient, c)
  T minus_lr;

  // To the tile below, behind so many rows.
  void advance(int64_t rows) {
    if (is_bias_of_rows) bias += rows;
    if (y) y += rows * y_row;
  }
};

// What happens to a tile when a chunk is done.
template <class T>
struct Merge {
  T alpha, beta;
  bool first;
  Ending<T> ending;
};

// The sums of a tile.
template <class T, int height, int vectors>
struct Sums {
  Vec<T> v[height][vectors] = {};

  // v = f(v, row, vector) for all of them.
  template <class F>
  FASTNN_INLINE void each(F f) {
#pragma GCC unroll 14
    for (int i = 0; i < height; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) v[i][j] = f(v[i][j], i, j);
    }
  }
};

// sum += a b over kc steps. Of a, either the rows of a step are neighbours and `a_stride` lies between steps, as in a
// panel, or the steps are and it lies between rows. b's steps are b_step apart.
template <class T, int height, int vectors, bool rows_are_neighbours>
FASTNN_INLINE void multiply(Sums<T, height, vectors>& sum, int64_t kc, const T* a, int64_t a_stride, const T* b,
                            int64_t b_step) {
  const T* next = b_step == tile_width<T> ? b + kc * b_step : b;
  for (int64_t k = 0; k < kc; ++k, a += rows_are_neighbours ? a_stride : 1, b += b_step) {
    Vec<T> row[vectors];
    // The panel of b that comes next, on its way into L2; one read where it stands has no next.
    if (vectors == 2) {
      __builtin_prefetch(next, 0, 2);
      __builtin_prefetch(next + lanes<T>, 0, 2);
      next += b_step;
    }
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) row[v] = load(b + v * lanes<T>);
#pragma GCC unroll 14
    for (int i = 0; i < height; ++i) {
      Vec<T> x = splat(rows_are_neighbours ? a[i] : a[i * a_stride]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum.v[i][v] = fma<T>(x, row[v], sum.v[i][v]);
    }
  }
}

// Merges the sums with c, ends, and writes c. Of the last vector of each row, `count` lanes are there.
template <class T, int height, int vectors, class Count>
FASTNN_INLINE void finish(Sums<T, height, vectors>& sum, T* c, int64_t c_row, Count count, const Merge<T>& merge) {
  auto read = [=](const T* row, int j) __attribute__((always_inline)) {
    return j + 1 < vectors ? load(row + j * lanes<T>) : load(row + j * lanes<T>, count, T{0});
  };
  const Vec<T> alpha = splat(merge.alpha), beta = splat(merge.beta);
  if (!merge.first) sum.each([=](Vec<T> v, int i, int j) { return fma<T>(alpha, v, read(c + i * c_row, j)); });
  else if (merge.beta != 0)
    sum.each([=](Vec<T> v, int i, int j) { return fma<T>(alpha, v, beta * read(c + i * c_row, j)); });
  else if (merge.alpha != 1) sum.each([=](Vec<T> v, int, int) { return alpha * v; });

  const Ending<T>& ending = merge.ending;
  if (const T* bias = ending.bias; bias && ending.is_bias_of_rows)
    sum.each([=](Vec<T> v, int i, int) { return v + splat(bias[i]); });
  else if (bias) sum.each([=](Vec<T> v, int, int j) { return v + read(bias, j); });
  if (ending.is_relu) sum.each([](Vec<T> v, int, int) { return relu<T>(v); });
  if (const T* y = ending.y)
    sum.each([=, step = ending.y_row](Vec<T> v, int i, int j) { return relu_backward<T>(v, read(y + i * step, j)); });
  if (ending.updates) {
    const Vec<T> minus_lr = splat(ending.minus_lr);
    sum.each([=](Vec<T> v, int i, int j) { return fma<T>(minus_lr, v, read(c + i * c_row, j)); });
  }
  sum.each([=](Vec<T> v, int i, int j) {
    T* to = c + i * c_row + j * lanes<T>;
    if (j + 1 < vectors) store(to, v);
    else store(to, v, count);
    return v;
  });
}

// height x columns of c (+)= alpha a b over kc steps; b's steps are b_step apart.
template <class T, int height, int vectors>
void tile(int64_t kc, const T* a, int64_t a_row, int64_t a_k, const T* b, int64_t b_step, T* c, int64_t c_row,
          int columns, const Merge<T>& merge) {
  Sums<T, height, vectors> sum;
  if (a_row == 1) multiply<T, height, vectors, true>(sum, kc, a, a_k, b, b_step);
  else multiply<T, height, vectors, false>(sum, kc, a, a_row, b, b_step);
  if (columns == vectors * lanes<T>) finish(sum, c, c_row, All{}, merge);
  else finish(sum, c, c_row, int64_t{columns} - (vectors - 1) * lanes<T>, merge);
}

template <class T>
using TileFunction = void (*)(int64_t, const T*, int64_t, int64_t, const T*, int64_t, T*, int64_t, int,
                              const Merge<T>&);

// One function per tile height, [vectors - 1][height - 1].
template <class T>
constexpr TileFunction<T> tiles[tile_vectors][14] = {
    {tile<T, 1, 1>, tile<T, 2, 1>, tile<T, 3, 1>, tile<T, 4, 1>, tile<T, 5, 1>, tile<T, 6, 1>,
#if defined(__AVX512F__) || defined(__aarch64__)
     tile<T, 7, 1>, tile<T, 8, 1>, tile<T, 9, 1>, tile<T, 10, 1>, tile<T, 11, 1>, tile<T, 12, 1>, tile<T, 13, 1>,
     tile<T, 14, 1>
#endif
    },
    {tile<T, 1, 2>, tile<T, 2, 2>, tile<T, 3, 2>, tile<T, 4, 2>, tile<T, 5, 2>, tile<T, 6, 2>,
#if defined(__AVX512F__) || defined(__aarch64__)
     tile<T, 7, 2>, tile<T, 8, 2>, tile<T, 9, 2>, tile<T, 10, 2>, tile<T, 11, 2>, tile<T, 12, 2>, tile<T, 13, 2>,
     tile<T, 14, 2>
#endif
    }};

}  // namespace
}  // namespace fastnn
