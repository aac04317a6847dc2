// What softmax, log-softmax and cross-entropy have in common: of each row the maximum m, the exponentials
// e_i = exp(x_i - m) and their sum s, by the sixteen-lane fold of reduce.h.
//
// NaN needs no care: with NaN or +inf in a row, or with -inf alone, some x_i - m is NaN, hence s and all that follows.
//
// Why it is fast. Short rows (sixteen elements at most: ten classes) are transposed, a vector's worth of rows at a
// time: every lane is a row, no lane is idle, folds are plain additions, and the division and the logarithm that a row
// needs are shared by all. A long row is read for its maximum and read again, from L1 or L2, for its exponentials.
#pragma once

#include "cpu/math.h"
#include "cpu/reduce.h"
#include "cpu/transpose.h"

namespace fastnn {
namespace {

// ---- short rows -------------------------------------------------------------------------------------------------

constexpr bool is_short(int64_t columns) { return columns <= fold_lanes; }

// lanes<T> short rows, a vector for each column.
template <class T>
struct Columns {
  Vec<T> v[fold_lanes];
};

template <class T>
FASTNN_INLINE Columns<T> load_columns(const T* x, int64_t columns) {
  Columns<T> to;
  for (int c = 0; c < fold_lanes; c += lanes<T>) {
    if (c >= columns) break;
    auto load_block = [=, &to](auto count) {
      Vec<T> block[lanes<T>];
      for (int r = 0; r < lanes<T>; ++r) block[r] = load(x + r * columns + c, count, T{0});
      transpose<T>(block);
      for (int j = 0; j < lanes<T>; ++j) to.v[c + j] = block[j];
    };
    if (c + lanes<T> <= columns) load_block(All{});
    else load_block(columns - c);
  }
  return to;
}

template <class T>
FASTNN_INLINE void store_columns(T* to, const Columns<T>& from, int64_t columns) {
  for (int c = 0; c < fold_lanes; c += lanes<T>) {
    if (c >= columns) break;
    auto store_block = [=, &from](auto count) {
      Vec<T> block[lanes<T>];
      for (int j = 0; j < lanes<T>; ++j) block[j] = from.v[c + j];
      transpose<T>(block);
      for (int r = 0; r < lanes<T>; ++r) store(to + r * columns + c, block[r], count);
    };
    if (c + lanes<T> <= columns) store_block(All{});
    else store_block(columns - c);
  }
}

template <class T>
FASTNN_INLINE void subtract_max(Columns<T>& x, int64_t columns) {
  Vec<T> max = x.v[0];
  for (int c = 1; c < columns; ++c) max = larger<T>(x.v[c], max);
  for (int c = 0; c < columns; ++c) x.v[c] -= max;
}

// The sixteen-lane fold of every row: a column is a lane.
template <class T>
FASTNN_INLINE Vec<T> sum_of(const Columns<T>& x, int64_t columns) {
  constexpr int half = fold_lanes / 2;
  Vec<T> lane[half] = {};
  for (int c = 0; c < half && c < columns; ++c) lane[c] = c + half < columns ? x.v[c] + x.v[c + half] : x.v[c];
  for (int distance = half / 2; distance >= 1; distance /= 2)
    for (int c = 0; c < distance && c + distance < columns; ++c) lane[c] += lane[c + distance];
  return lane[0];
}

// The exponentials, which may replace x, and their sum.
template <class T>
FASTNN_INLINE Vec<T> exponentials(const Columns<T>& x, Columns<T>& e, int64_t columns) {
  for (int c = 0; c < columns; ++c) e.v[c] = vexp<T>(x.v[c]);
  return sum_of(e, columns);
}

// Calls use(x, y, columns, row, count) for groups of lanes<T> rows. Of the last group `count` rows are there; it stands
// in a copy where the others are 0. Without y, what is written is lost.
template <class T, class Use>
FASTNN_INLINE void each_group_of(int64_t columns, const T* x, T* y, int64_t rows, Use use) {
  T copy[lanes<T> * fold_lanes] = {};
  for (int64_t row = 0; row < rows; row += lanes<T>) {
    const bool whole = rows - row >= lanes<T>;
    const int64_t count = whole ? lanes<T> : rows - row;
    const size_t bytes = static_cast<size_t>(count * columns) * sizeof(T);
    if (!whole) __builtin_memcpy(copy, x + row * columns, bytes);
    use(whole ? x + row * columns : copy, whole && y ? y + row * columns : copy, columns, row, count);
    if (!whole && y) __builtin_memcpy(y + row * columns, copy, bytes);
  }
}

// The same; ten classes are so common that they have their own code, with every loop unrolled.
template <class T, class Use>
FASTNN_INLINE void each_group(int64_t columns, const T* x, T* y, int64_t rows, Use use) {
  if (columns < 1 || columns > fold_lanes) return;  // so that the compiler knows
  if (columns == 10) each_group_of(10, x, y, rows, use);
  else each_group_of(columns, x, y, rows, use);
}

// ---- long rows --------------------------------------------------------------------------------------------------

// The maximum of a row that holds no NaN; otherwise any number.
template <class T>
FASTNN_INLINE T max_of(const T* x, int64_t columns) {
  constexpr int count = fold_vectors<T> > 4 ? fold_vectors<T> : 4;
  Vec<T> max[count];
  for (int k = 0; k < count; ++k) max[k] = splat(T(-__builtin_inf()));
  int64_t i = 0;
  for (; i + count * lanes<T> <= columns; i += count * lanes<T>)
    for (int k = 0; k < count; ++k) max[k] = larger<T>(load(x + i + k * lanes<T>), max[k]);
  for (; i + lanes<T> <= columns; i += lanes<T>) max[0] = larger<T>(load(x + i), max[0]);
  if (i < columns) max[0] = larger<T>(load(x + i, columns - i, T(-__builtin_inf())), max[0]);
  for (int k = fold_vectors<T>; k < count; ++k) max[0] = larger<T>(max[0], max[k]);
  return fold16<T>(max, [](Vec<T> a, Vec<T> b) { return larger<T>(a, b); });
}

// Leaves in lanes that do not exist what changes no sum.
template <class T>
FASTNN_INLINE Vec<T> existing(Vec<T> v, All) {
  return v;
}
template <class T>
FASTNN_INLINE Vec<T> existing(Vec<T> v, int64_t count) {
  return first_lanes<T>(count) ? v : splat(Sum<T>::identity);
}

// The sum of a row's exponentials; use(i, e, count) sees each vector of them. Lanes that do not exist take the
// exponential of 0, not of -inf: underflow is slow on many processors.
template <class T, class Use>
FASTNN_INLINE T sum_of_exponentials(const T* x, int64_t columns, T max, Use use) {
  return fold_row<T, Sum<T>>(columns, [=](int64_t i, auto count) {
    const Vec<T> e = vexp<T>(load(x + i, count, max) - max);
    use(i, e, count);
    return existing<T>(e, count);
  });
}

// body(i, count) for each vector of a row, `count` as in load and store.
template <class T, class Body>
FASTNN_INLINE void each_vector(int64_t columns, Body body) {
  int64_t i = 0;
  for (; i + lanes<T> <= columns; i += lanes<T>) body(i, All{});
  if (i < columns) body(i, columns - i);
}

inline constexpr int64_t elements_of_item = 2048;

// Rows of an item.
constexpr int64_t rows_of_item(int64_t columns) {
  if (is_short(columns)) return elements_of_item / fold_lanes;
  return columns < elements_of_item ? elements_of_item / columns : 1;
}

}  // namespace
}  // namespace fastnn
