// One step of SGD on a row: update.cpp runs it over arrays, a product on its finished gradient tile. The rule is in
// rules.h.
//
// Why it is fast: see update.cpp; in a product, the gradient comes from L1 and is never stored.
#pragma once

#include "cpu/rules.h"
#include "cpu/vec.h"

namespace fastnn {
namespace {

// One step on `count` elements; v is null where there is no velocity.
template <class T>
FASTNN_INLINE void update_row(const SgdRule<T>& rule, T* p, const T* g, T* v, int64_t count) {
  int64_t i = 0;
  Vec<T> pi, vi{};
  if (rule.moves) {
    for (; i + lanes<T> <= count; i += lanes<T>) {
      pi = load(p + i), vi = load(v + i);
      rule(pi, load(g + i), vi);
      store(p + i, pi), store(v + i, vi);
    }
  } else {
    for (; i + lanes<T> <= count; i += lanes<T>) {
      pi = load(p + i);
      rule(pi, load(g + i), vi);
      store(p + i, pi);
    }
  }
  if (int64_t n = count - i; n > 0) {
    pi = load_partial<T>(p + i, n, 0);
    if (rule.moves) vi = load_partial<T>(v + i, n, 0);
    rule(pi, load_partial<T>(g + i, n, 0), vi);
    store_partial<T>(p + i, pi, n);
    if (rule.moves) store_partial<T>(v + i, vi, n);
  }
}

}  // namespace
}  // namespace fastnn
