// The activations and their derivatives on vectors: what activation.cpp applies element by element, and the matrix
// product to its finished elements. Each line is one rounding, except where math.h says what a function does:
//
//   relu       x < 0 ? 0 : x, so that NaN stays NaN and -0 stays -0
//   sigmoid    e = exp(-|x|);  (x < 0 ? e : 1) / (1 + e)
//   tanh       math.h
//   gelu       u = x * sqrt(1/2);  c = erf(u) + 1;  c = c * 1/2;  x * c
//
//   relu'      y > 0 ? g : 0
//   sigmoid'   a = 1 - y;  a = y * a;  g * a
//   tanh'      a = y * y;  a = 1 - a;  g * a
//   gelu'      c as above;  q = x * x;  q = q * -1/2;  d = exp(q);  d = d * 1/sqrt(2 pi);  c = fma(x, d, c);  g * c
//
// with g the gradient of the result and y the result. gelu loses relative, not absolute accuracy where x is far below
// 0, as every form by erf does; at -inf it is NaN.
#pragma once

#include "cpu/math.h"
#include "kernels/kernels.h"

namespace fastnn {
namespace {

template <class T>
FASTNN_INLINE Vec<T> relu(Vec<T> x) {
  return larger<T>(Vec<T>{}, x);
}

// The standard normal distribution function.
template <class T>
FASTNN_INLINE Vec<T> normal_cdf(Vec<T> x) {
  return (verf<T>(x * T(0.70710678118654752440)) + T{1}) * T{0.5};
}

template <class T>
FASTNN_INLINE Vec<T> gelu(Vec<T> x) {
  return x * normal_cdf<T>(x);
}

template <class T>
FASTNN_INLINE Vec<T> activate(Activation activation, Vec<T> x) {
  switch (activation) {
    case Activation::none: return x;
    case Activation::relu: return relu<T>(x);
    case Activation::sigmoid: return vsigmoid<T>(x);
    case Activation::tanh: return vtanh<T>(x);
    case Activation::gelu: return gelu<T>(x);
  }
  return x;
}

template <class T>
FASTNN_INLINE Vec<T> relu_backward(Vec<T> grad, Vec<T> y) {
  return y > T{0} ? grad : Vec<T>{};
}

template <class T>
FASTNN_INLINE Vec<T> sigmoid_backward(Vec<T> grad, Vec<T> y) {
  return grad * (y * (T{1} - y));
}

template <class T>
FASTNN_INLINE Vec<T> tanh_backward(Vec<T> grad, Vec<T> y) {
  return grad * (T{1} - y * y);
}

template <class T>
FASTNN_INLINE Vec<T> gelu_backward(Vec<T> grad, Vec<T> x) {
  Vec<T> density = vexp<T>(x * x * T{-0.5}) * T(0.39894228040143267794);
  return grad * fma<T>(x, density, normal_cdf<T>(x));
}

// `saved` is the forward's result, for gelu its input.
template <class T>
FASTNN_INLINE Vec<T> activate_backward(Activation activation, Vec<T> grad, Vec<T> saved) {
  switch (activation) {
    case Activation::none: return grad;
    case Activation::relu: return relu_backward<T>(grad, saved);
    case Activation::sigmoid: return sigmoid_backward<T>(grad, saved);
    case Activation::tanh: return tanh_backward<T>(grad, saved);
    case Activation::gelu: return gelu_backward<T>(grad, saved);
  }
  return grad;
}

}  // namespace
}  // namespace fastnn
