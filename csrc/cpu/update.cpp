// sgd_update and adam_update: one step of the optimizer, in place. The rules are in rules.h.
//
// Why it is fast. One pass: everything an element needs is read once and written once, so that from L2 on the
// kernel runs at memory speed. Param, grad and state advance together, a vector at a time.
#include "cpu/update.h"

namespace fastnn {
namespace {

constexpr int64_t block = 2048;  // elements of an item

Work blocks_of(int64_t count, double nanoseconds_per_element) {
  return {1, {(count + block - 1) / block, 0, 0}, {nanoseconds_per_element * block, 0, 0}, 0, 0};
}

template <class T>
void sgd(const Sgd& s, int64_t begin, int64_t end) {
  const SgdRule<T> rule(s);
  update_row(rule, static_cast<T*>(s.param) + begin, static_cast<const T*>(s.grad) + begin,
             rule.moves ? static_cast<T*>(s.velocity) + begin : nullptr, end - begin);
}

template <class T>
void adam(const Adam& a, int64_t begin, int64_t end) {
  const AdamRule<T> rule(a);
  T *p = static_cast<T*>(a.param), *m = static_cast<T*>(a.exp_avg), *s = static_cast<T*>(a.exp_avg_sq);
  const T* g = static_cast<const T*>(a.grad);
  int64_t i = begin;
  for (; i + lanes<T> <= end; i += lanes<T>) {
    Vec<T> pi = load(p + i), mi = load(m + i), si = load(s + i);
    rule(pi, load(g + i), mi, si);
    store(p + i, pi), store(m + i, mi), store(s + i, si);
  }
  if (int64_t n = end - i; n > 0) {
    Vec<T> pi = load_partial<T>(p + i, n, 0), mi = load_partial<T>(m + i, n, 0), si = load_partial<T>(s + i, n, 0);
    rule(pi, load_partial<T>(g + i, n, 0), mi, si);
    store_partial<T>(p + i, pi, n), store_partial<T>(m + i, mi, n), store_partial<T>(s + i, si, n);
  }
}

Work sgd_work(const Sgd& s) { return blocks_of(s.count, 0.04 * static_cast<double>(item_size(s.dtype))); }

void sgd_run(const Sgd& s, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  int64_t begin = first * block, end = last * block < s.count ? last * block : s.count;
  if (s.dtype == DType::float32) sgd<float>(s, begin, end);
  else sgd<double>(s, begin, end);
}

Work adam_work(const Adam& a) { return blocks_of(a.count, 0.08 * static_cast<double>(item_size(a.dtype))); }

void adam_run(const Adam& a, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  int64_t begin = first * block, end = last * block < a.count ? last * block : a.count;
  if (a.dtype == DType::float32) adam<float>(a, begin, end);
  else adam<double>(a, begin, end);
}

}  // namespace

namespace FASTNN_ISA {
void register_update(KernelTable& table) {
  table.sgd_update = {sgd_work, sgd_run};
  table.adam_update = {adam_work, adam_run};
}
}  // namespace FASTNN_ISA

}  // namespace fastnn
