// The tail of a product: what follows the sum, on a strip of finished elements that is still in L1.
//
//   layer     c + bias[j], then the activation
//   gradient  the gradient of an activation; then an update, of which c is the gradient
#pragma once

#include "cpu/activation.h"
#include "cpu/transpose.h"
#include "cpu/update.h"

namespace fastnn {
namespace {

// A rectangle of finished elements at (row, column) of the product, or of its transpose.
template <class T>
struct Strip {
  T* c;
  int64_t c_row, row, rows, column, columns;
};

// c = finished(c, i, j) for every vector of a strip, j counted from its first column; `left` lanes are inside.
template <class T, class Finished>
FASTNN_INLINE void each_vector(const Strip<T>& strip, Finished finished) {
  for (int64_t i = 0; i < strip.rows; ++i) {
    T* c = strip.c + i * strip.c_row;
    int64_t j = 0;
    for (; j + lanes<T> <= strip.columns; j += lanes<T>) {
      store(c + j, finished(load(c + j), i, j, [](const T* from) { return load(from); }));
    }
    if (int64_t left = strip.columns - j; left > 0) {
      auto read = [left](const T* from) { return load_partial<T>(from, left, T(0)); };
      store_partial<T>(c + j, finished(read(c + j), i, j, read), left);
    }
  }
}

template <class T, Activation activation>
void add_and_activate(const Product& p, const Strip<T>& strip, bool turned) {
  const T* bias = static_cast<const T*>(p.bias);
  if (bias && turned) {
    bias += strip.row;
    each_vector(strip,
                [bias](Vec<T> v, int64_t i, int64_t, auto) { return activate<T>(activation, v + splat(bias[i])); });
  } else if (bias) {
    bias += strip.column;
    each_vector(
        strip, [bias](Vec<T> v, int64_t, int64_t j, auto read) { return activate<T>(activation, v + read(bias + j)); });
  } else if (activation != Activation::none) {
    each_vector(strip, [](Vec<T> v, int64_t, int64_t, auto) { return activate<T>(activation, v); });
  }
}

template <class T>
void finish_layer(const Product& p, const Strip<T>& strip, bool turned) {
  switch (p.activation) {
    case Activation::none: return add_and_activate<T, Activation::none>(p, strip, turned);
    case Activation::relu: return add_and_activate<T, Activation::relu>(p, strip, turned);
    case Activation::sigmoid: return add_and_activate<T, Activation::sigmoid>(p, strip, turned);
    case Activation::tanh: return add_and_activate<T, Activation::tanh>(p, strip, turned);
    case Activation::gelu: return add_and_activate<T, Activation::gelu>(p, strip, turned);
  }
}

template <class T, Activation activation>
void differentiate(const Product& p, const Strip<T>& strip) {
  const T* y = static_cast<const T*>(p.y) + strip.row * p.y_row + strip.column;
  each_vector(strip, [y, step = p.y_row](Vec<T> v, int64_t i, int64_t j, auto read) {
    return activate_backward<T>(activation, v, read(y + i * step + j));
  });
}

template <class T>
void finish_gradient(const Product& p, const Strip<T>& strip) {
  switch (p.backward) {
    case Activation::none: break;
    case Activation::relu: differentiate<T, Activation::relu>(p, strip); break;
    case Activation::sigmoid: differentiate<T, Activation::sigmoid>(p, strip); break;
    case Activation::tanh: differentiate<T, Activation::tanh>(p, strip); break;
    case Activation::gelu: differentiate<T, Activation::gelu>(p, strip); break;
  }
  if (!p.update.param) return;
  const SgdRule<T> rule(p.update);
  int64_t at = strip.row * p.n + strip.column;
  T* param = static_cast<T*>(p.update.param) + at;
  T* velocity = rule.moves ? static_cast<T*>(p.update.velocity) + at : nullptr;
  for (int64_t i = 0; i < strip.rows; ++i)
    update_row(rule, param + i * p.n, strip.c + i * strip.c_row, velocity ? velocity + i * p.n : nullptr,
               strip.columns);
}

// to[j][i] = from[i][j], for rows x columns of from.
template <class T>
void turn(T* to, int64_t to_row, const T* from, int64_t from_row, int64_t rows, int64_t columns) {
  if (rows == 1 && to_row == 1) {
    for (int64_t j = 0; j < columns; ++j) to[j] = from[j];
    return;
  }
  for (int64_t i = 0; i < rows; i += lanes<T>) {
    int64_t height = at_most(lanes<T>, rows - i);
    for (int64_t j = 0; j < columns; j += lanes<T>) {
      int64_t width = at_most(lanes<T>, columns - j);
      Vec<T> square[lanes<T>];
#pragma GCC unroll 16
      for (int r = 0; r < lanes<T>; ++r) {
        const T* row = from + (i + r) * from_row + j;
        if (r >= height) square[r] = Vec<T>{};
        else square[r] = width == lanes<T> ? load(row) : load_partial<T>(row, width, T(0));
      }
      transpose<T>(square);
      for (int c = 0; c < width; ++c) {
        T* row = to + (j + c) * to_row + i;
        if (height == lanes<T>) store(row, square[c]);
        else store_partial<T>(row, square[c], height);
      }
    }
  }
}

}  // namespace
}  // namespace fastnn
