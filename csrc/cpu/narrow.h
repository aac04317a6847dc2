// Linear layers of few outputs: the lanes run along K.
//
// Expression of an element of linear where it has at most 12 outputs and at least 128 inputs (is_narrow). K is cut in
// chunks of 4096. Within a chunk, element k belongs to lane k % 16: lane = fma(x[i][k], weight[j][k], lane) from 0, in
// order, as if zeros filled up the last sixteen; the lanes are folded at distances 8, 4, 2, 1. The sums of chunks are
// added in order. Then + bias and the activation, as in product.cpp.
//
// Where an engine says so, the rows of x are gathered on the way: a tile reads them where they stand in the data set,
// as bytes or as they are, and leaves them in x for the gradient of the weights.
//
// Why it is fast. Ten outputs would leave six of sixteen lanes idle if lanes ran along them. Here none idles, and
// neither operand is packed: both are read where they stand, sixteen neighbours at a time. A tile of 2 x 10 sums on
// AVX-512 (2 x 3 pairs on AVX2) takes 12 loads for 20 multiply-adds. The sums of a row are folded together: the stages
// of a transposition, with an addition instead of the second half of the shuffles' results. Gathered rows are asked for
// line by line while those before are multiplied: memory and multiply-adds are busy at the same time.
#pragma once

#include "cpu/gather.h"
#include "cpu/tail.h"
#include "cpu/transpose.h"

namespace fastnn {
namespace {

constexpr int narrow_sums = vector_registers == 32 ? 20 : 12;  // registers of a tile
template <class T>
constexpr int most_outputs = at_least(1, narrow_sums / (2 * fold_vectors<T>));
template <class T>
constexpr int rows_for(int outputs) {
  return at_least(1, at_most(8, narrow_sums / (outputs * fold_vectors<T>)));
}

// Adds the lanes at `distance` of the vectors i and i + distance: lane l of the first has then to do with i or
// i + distance, as l & distance says.
template <class T, int distance>
FASTNN_INLINE void fold_stage(Vec<T>* v) {
  Vec<Int<T>> low, high;
  for (int l = 0; l < lanes<T>; ++l) {
    low[l] = l & distance ? l - distance + lanes<T> : l;
    high[l] = l & distance ? l + lanes<T> : l + distance;
  }
#pragma GCC unroll 8
  for (int i = 0; i < distance; ++i)
    v[i] = shuffle<T>(v[i], v[i + distance], low) + shuffle<T>(v[i], v[i + distance], high);
}

// The fold of each of lanes<T> vectors in the lane of its number.
template <class T>
FASTNN_INLINE Vec<T> fold_each(Vec<T>* v) {
  if constexpr (lanes<T> > 8) fold_stage<T, 8>(v);
  if constexpr (lanes<T> > 4) fold_stage<T, 4>(v);
  if constexpr (lanes<T> > 2) fold_stage<T, 2>(v);
  fold_stage<T, 1>(v);
  return v[0];
}

template <int number>
struct Number {
  static constexpr int value = number;
};

// Rows of x where they are.
template <class T>
struct InPlace {
  static constexpr bool may_end_early = true;
  const T* x;
  int64_t x_row;

  FASTNN_INLINE Vec<T> operator()(int i, int64_t k) const { return load_once(x + i * x_row + k); }
};

// Rows of a data set, which become rows of x. `ahead` are those to ask for meanwhile.
template <class T, class From, class Quotient, int rows>
struct Gathered {
  static constexpr bool may_end_early = false;
  const From* from[rows];
  const std::byte* ahead[rows];
  T* x;
  int64_t x_row;
  Quotient quotient;

  FASTNN_INLINE Vec<T> operator()(int i, int64_t k) const {
    const Vec<T> v = quotient(load_as<T>(from[i] + k));
    store(x + i * x_row + k, v);
    if (const int64_t byte = k * static_cast<int64_t>(sizeof(From)); byte % line == 0)
      __builtin_prefetch(ahead[i] + byte);
    return v;
  }
};

// c (+)= x weightᵀ for so many rows and outputs, over kc elements.
template <class T, int rows, int outputs, class Rows>
void narrow_tile(int64_t kc, const Rows x, const T* weight, int64_t weight_row, T* c, int64_t c_row, bool first) {
  constexpr int vectors = fold_vectors<T>;
  Vec<T> sum[rows][outputs][vectors] = {};
  auto step = [&](auto of_row, auto of_output) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      Vec<T> of_x[rows];
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) of_x[i] = of_row(i, v);
#pragma GCC unroll 10
      for (int j = 0; j < outputs; ++j) {
        Vec<T> of_weight = of_output(weight + j * weight_row, v);
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) sum[i][j][v] = fma<T>(of_x[i], of_weight, sum[i][j][v]);
      }
    }
  };
  int64_t k = 0;
  for (; k + fold_lanes <= kc; k += fold_lanes)
    step([&](int i, int v) { return x(i, k + v * lanes<T>); },
         [&](const T* row, int v) { return load_once(row + k + v * lanes<T>); });
  if constexpr (Rows::may_end_early) {
    auto rest = [k, left = kc - k](const T* row, int v) {
      return load_partial<T>(row + k + v * lanes<T>, at_least(0, at_most(lanes<T>, left - v * lanes<T>)), T(0));
    };
    if (k < kc) step([&](int i, int v) { return rest(x.x + i * x.x_row, v); }, rest);
  }
  for (int i = 0; i < rows; ++i) {
    static_assert(outputs <= lanes<T>);
    Vec<T> of_row[lanes<T>] = {};
#pragma GCC unroll 10
    for (int j = 0; j < outputs; ++j) {
      for (int d = vectors / 2; d >= 1; d /= 2)
        for (int v = 0; v < d; ++v) sum[i][j][v] += sum[i][j][v + d];
      of_row[j] = sum[i][j][0];
    }
    Vec<T> result = fold_each<T>(of_row);
    T* to = c + i * c_row;
    if (!first) result = load_partial<T>(to, outputs, T(0)) + result;
    store_partial<T>(to, result, outputs);
  }
}

// `count` rows of `outputs` outputs: tiles of as many rows as the registers hold, and single rows. `x` gives the rows
// of a tile from the i-th on.
template <class T, int outputs, class Rows>
FASTNN_INLINE void narrow_rows(int wanted, int64_t count, int64_t kc, Rows x, const T* weight, int64_t weight_row, T* c,
                               int64_t c_row, bool first) {
  constexpr int rows = rows_for<T>(outputs);
  if (wanted != outputs) {
    if constexpr (outputs > 1) narrow_rows<T, outputs - 1>(wanted, count, kc, x, weight, weight_row, c, c_row, first);
    return;
  }
  int64_t i = 0;
  for (; i + rows <= count; i += rows)
    narrow_tile<T, rows, outputs>(kc, x(i, Number<rows>{}), weight, weight_row, c + i * c_row, c_row, first);
  for (; i < count; ++i)
    narrow_tile<T, 1, outputs>(kc, x(i, Number<1>{}), weight, weight_row, c + i * c_row, c_row, first);
}

// The same of rows that are gathered: those of x from `row` on, elements from k on.
template <class T, class From, class Quotient>
FASTNN_INLINE void narrow_gathered_as(const Gather& g, int64_t row, int64_t k, Quotient quotient, int outputs,
                                      int64_t count, int64_t kc, const T* weight, int64_t weight_row, T* c,
                                      int64_t c_row, bool first) {
  const From* data = static_cast<const From*>(g.data) + k;
  T* out = static_cast<T*>(g.out) + row * g.width + k;
  const int64_t ahead = rows_ahead(g.width * static_cast<int64_t>(sizeof(From)));
  auto rows = [&](int64_t i, auto number) __attribute__((always_inline)) {
    constexpr int height = decltype(number)::value;
    Gathered<T, From, Quotient, height> x{{}, {}, out + i * g.width, g.width, quotient};
    for (int r = 0; r < height; ++r) {
      x.from[r] = data + g.indices[row + i + r] * g.stride;
      x.ahead[r] =
          reinterpret_cast<const std::byte*>(data + g.indices[at_most(row + i + r + ahead, g.count - 1)] * g.stride);
    }
    return x;
  };
  narrow_rows<T, most_outputs<T>>(outputs, count, kc, rows, weight, weight_row, c, c_row, first);
}

constexpr int64_t narrow_rows_at_once = 8;

// Elements from one packed row of weights to the next: whole cache lines.
template <class T>
int64_t narrow_row(int64_t k) {
  constexpr int64_t line = 64 / sizeof(T);
  return ceil_div(k, line) * line;
}

template <class T, class... Rest>
void narrow_gathered(const Gather& g, int64_t row, int64_t k, Rest... rest) {
  if (g.data_dtype == g.out_dtype) narrow_gathered_as<T, T>(g, row, k, Unchanged<T>{}, rest...);
  else narrow_gathered_as<T, uint8_t>(g, row, k, Reciprocal<T>(static_cast<T>(g.divisor)), rest...);
}

// Whether a tile can gather its rows itself: of whole vectors, and not of a division that only a division equals.
template <class T>
bool gathers_on_the_way(const Product& p) {
  const Gather& g = *p.gather;
  if (g.width % fold_lanes != 0) return false;
  if (g.data_dtype == g.out_dtype) return g.divisor == 1;
  const T divisor = static_cast<T>(g.divisor);
  return g.data_dtype == DType::uint8 && Reciprocal<T>(divisor).equals(Division<T>{splat(divisor)});
}

template <class T>
void narrow_choose(Product& p) {
  ProductChoice& c = p.choice;
  c = {};
  c.along_k = true;
  c.direct_a = p.a_column == 1;
  // Vectors that cross cache lines are loaded at half the pace, in each of many rows of x.
  bool crosses = (reinterpret_cast<uintptr_t>(p.b) | static_cast<uintptr_t>(p.b_column) * sizeof(T)) % 64 != 0;
  c.direct_b = p.b_row == 1 && !(crosses && p.m > narrow_rows_at_once);
  c.ahead_b = !c.direct_b;
  // Items of some 2 microseconds.
  double rows = 1000.0 * vector_bytes / (static_cast<double>(p.n) * static_cast<double>(p.k));
  c.row_blocks = ceil_div(p.m, rows > 1 ? narrow_rows_at_once * static_cast<int64_t>(rows) : narrow_rows_at_once);
  c.column_blocks = 1;
  c.gathers = p.gather && gathers_on_the_way<T>(p);
  c.has_loss = p.loss;
}

template <class T>
Work narrow_work(const Product& p) {
  const ProductChoice& c = p.choice;
  double flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  double per_nanosecond = vector_bytes / static_cast<double>(sizeof(T)) * (has_fma ? 8 : 3);
  int64_t size = sizeof(T);
  double nanoseconds = flops / per_nanosecond + (c.gathers ? 0.05 * static_cast<double>(p.m * p.k) : 0);
  return {2,
          {c.direct_b ? 0 : p.n, c.row_blocks, 0},
          {static_cast<double>(p.k) * 0.5, nanoseconds / static_cast<double>(at_least(c.row_blocks, 1)), 0},
          c.direct_b ? 0 : times(p.n * size, narrow_row<T>(p.k)),
          c.direct_a ? 0 : narrow_rows_at_once * narrow_chunk * size};
}

// A line of a matrix, its elements `step` apart, as neighbours.
template <class T>
void gather_line(T* to, const T* from, int64_t step, int64_t count) {
  if (step == 1) __builtin_memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
  else
    for (int64_t k = 0; k < count; ++k) to[k] = from[k * step];
}

template <class T>
void narrow_run(const Product& p, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) {
  const T *x = static_cast<const T*>(p.a), *weight = static_cast<const T*>(p.b);
  T *turned = reinterpret_cast<T*>(workspace), *c = static_cast<T*>(p.c);
  if (phase == 0) {
    for (int64_t j = first; j < last; ++j)
      gather_line(turned + j * narrow_row<T>(p.k), weight + j * p.b_column, p.b_row, p.k);
    return;
  }
  const int64_t weight_row = p.choice.direct_b ? p.b_column : narrow_row<T>(p.k),
                groups = ceil_div(p.n, most_outputs<T>);
  if (!p.choice.direct_b) weight = turned;
  const int64_t begin = first_of(first, p.m, p.choice.row_blocks), end = first_of(last, p.m, p.choice.row_blocks);
  if (p.choice.gathers)
    for (int64_t i = begin; i < at_most(end, begin + rows_ahead(p.k * item_size(p.gather->data_dtype))); ++i)
      ask_for(*p.gather, i);
  for (int64_t row = begin; row < end; row += narrow_rows_at_once) {
    const int64_t rows = at_most(narrow_rows_at_once, end - row);
    for (int64_t k = 0; k < p.k; k += narrow_chunk) {
      const int64_t kc = at_most(narrow_chunk, p.k - k);
      const T* of_x = x + row * p.a_row + k * p.a_column;
      int64_t x_row = p.a_row;
      if (!p.choice.direct_a) {
        T* lines = reinterpret_cast<T*>(scratch);
        for (int64_t i = 0; i < rows; ++i) gather_line(lines + i * kc, of_x + i * x_row, p.a_column, kc);
        of_x = lines, x_row = kc;
      }
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t j = first_of(g, p.n, groups);
        const int outputs = static_cast<int>(first_of(g + 1, p.n, groups) - j);
        const T* of_weight = weight + j * weight_row + k;
        T* to = c + row * p.c_row + j;
        if (g == 0 && p.choice.gathers) {  // the next outputs find them in x
          narrow_gathered<T>(*p.gather, row, k, outputs, rows, kc, of_weight, weight_row, to, p.c_row, k == 0);
          continue;
        }
        narrow_rows<T, most_outputs<T>>(
            outputs, rows, kc, [=](int64_t i, auto) { return InPlace<T>{of_x + i * x_row, x_row}; }, of_weight,
            weight_row, to, p.c_row, k == 0);
      }
    }
    finish_layer(p, Strip<T>{c + row * p.c_row, p.c_row, row, rows, 0, p.n}, false);
  }
}

}  // namespace
}  // namespace fastnn
