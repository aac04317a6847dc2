// The tail of a product: what follows the sum, on a strip of finished elements that is still in L1.
//
//   layer     c + bias[j], then the activation
//   gradient  the gradient of an activation; then an update, of which c is the gradient
//
// Why it is fast. Nothing of it takes a pass over memory of its own: a strip is as wide as a tile of the product, and
// has just been written. The activation is asked for once a strip and is a constant in its loop.
#pragma once

#include "cpu/activation.h"
#include "cpu/update.h"

namespace fastnn {
namespace {

// A rectangle of finished elements at (row, column) of the product, or of its transpose.
template <class T>
struct Strip {
  T* c;
  int64_t c_row, row, rows, column, columns;
};

// c = finished(c, i, j, read) for every vector of a strip, j counted from its first column; read(from) loads as many
// lanes as are inside.
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

template <class T, Activation activation>
void differentiate(const Product& p, const Strip<T>& strip) {
  const T* y = static_cast<const T*>(p.y) + strip.row * p.y_row + strip.column;
  each_vector(strip, [y, step = p.y_row](Vec<T> v, int64_t i, int64_t j, auto read) {
    return activate_backward<T>(activation, v, read(y + i * step + j));
  });
}

template <Activation activation>
struct Constant {
  static constexpr Activation value = activation;
};

// Calls f with the activation as a constant, so that no vector asks which it is.
template <class F>
FASTNN_INLINE void with_constant(Activation activation, F f) {
  switch (activation) {
    case Activation::none: return f(Constant<Activation::none>{});
    case Activation::relu: return f(Constant<Activation::relu>{});
    case Activation::sigmoid: return f(Constant<Activation::sigmoid>{});
    case Activation::tanh: return f(Constant<Activation::tanh>{});
    case Activation::gelu: return f(Constant<Activation::gelu>{});
  }
}

// `turned`: the strip is one of the product's transpose.
template <class T>
void finish_layer(const Product& p, const Strip<T>& strip, bool turned) {
  with_constant(p.activation,
                [&](auto activation) { add_and_activate<T, decltype(activation)::value>(p, strip, turned); });
}

// `is_differentiated`: the gradient of the activation has been taken.
template <class T>
void finish_gradient(const Product& p, const Strip<T>& strip, bool is_differentiated) {
  if (p.y && !is_differentiated)
    with_constant(p.backward, [&](auto activation) { differentiate<T, decltype(activation)::value>(p, strip); });
  if (!p.update.param) return;
  const SgdRule<T> rule(p.update);
  int64_t at = strip.row * p.n + strip.column;
  T* param = static_cast<T*>(p.update.param) + at;
  T* velocity = rule.moves ? static_cast<T*>(p.update.velocity) + at : nullptr;
  for (int64_t i = 0; i < strip.rows; ++i)
    update_row(rule, param + i * p.n, strip.c + i * strip.c_row, velocity ? velocity + i * p.n : nullptr,
               strip.columns);
}

}  // namespace
}  // namespace fastnn
