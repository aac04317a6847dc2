// What a product does with the sums of an element: the same expressions, whoever has made the sums.
#pragma once

#include "cuda/expressions.h"
#include "cuda/rule.h"

namespace fastnn::cuda {
namespace {

// c with the sum of one more chunk.
template <class T>
FASTNN_INLINE T merged(const Product& p, bool first, int64_t row, int64_t column, T sum, T c) {
  const T alpha = static_cast<T>(p.alpha), beta = static_cast<T>(p.beta);
  if (!first) return fma<T>(alpha, sum, c);
  if (beta == T{0}) return alpha * sum;
  const bool inside = row < p.m && column < p.n;
  const T old = inside ? static_cast<const T*>(p.c)[row * p.c_row + column] : T{0};
  return fma<T>(alpha, sum, beta * old);
}

// What follows the sum, for one element.
template <class T>
FASTNN_INLINE void finish(const Product& p, const SgdRule<T>* rule, int64_t row, int64_t column, T v) {
  if (row >= p.m || column >= p.n) return;
  if (p.bias) v = v + static_cast<const T*>(p.bias)[column];
  v = activate<T>(p.activation, v);
  if (p.y) v = activate_backward<T>(p.backward, v, static_cast<const T*>(p.y)[row * p.y_row + column]);
  if (!rule) {
    static_cast<T*>(p.c)[row * p.c_row + column] = v;
    return;
  }
  T* param = static_cast<T*>(p.update.param) + row * p.n + column;
  T* velocity = rule->moves ? static_cast<T*>(p.update.velocity) + row * p.n + column : nullptr;
  T value = *param, speed = velocity ? *velocity : T{0};
  (*rule)(value, v, speed);
  *param = value;
  if (velocity) *velocity = speed;
}

template <class T>
FASTNN_INLINE const SgdRule<T>* rule_of(const Product& p) {
  return p.update.param ? made_once<SgdRule<T>>(p.update) : nullptr;
}

}  // namespace
}  // namespace fastnn::cuda
