// softmax, log_softmax and their backward, row by row. m, e and s are those of softmax.h; sums are sixteen-lane folds.
//
// softmax               y = e (1 / s)
// softmax_backward      y (grad - sum(grad y))        products are rounded before they are added
// log_softmax           (x - m) - log(s)
// log_softmax_backward  fma(-exp(y), sum(grad), grad)
//
// A multiplication by 1 / s stands for the division: a vector's division takes as long as its exponential, and half a
// unit in the last place is small against the error of exp. Why it is fast: see softmax.h.
#include "cpu/softmax.h"

#include "kernels/kernels.h"

namespace fastnn {
namespace {

template <class T>
void softmax_short(const T* x, T* y, int64_t rows, int64_t columns) {
  each_group(columns, x, y, rows,
             [](const T* from, T* to, int64_t columns, int64_t, int64_t) __attribute__((always_inline)) {
               Columns<T> e = load_columns(from, columns);
               subtract_max(e, columns);
               const Vec<T> scale = T{1} / exponentials(e, e, columns);
               for (int c = 0; c < columns; ++c) e.v[c] *= scale;
               store_columns(to, e, columns);
             });
}

template <class T>
void log_softmax_short(const T* x, T* y, int64_t rows, int64_t columns) {
  each_group(columns, x, y, rows,
             [](const T* from, T* to, int64_t columns, int64_t, int64_t) __attribute__((always_inline)) {
               Columns<T> shifted = load_columns(from, columns), e;
               subtract_max(shifted, columns);
               const Vec<T> log_s = vlog<T>(exponentials(shifted, e, columns));
               for (int c = 0; c < columns; ++c) shifted.v[c] -= log_s;
               store_columns(to, shifted, columns);
             });
}

template <class T>
void softmax_row(const T* x, T* y, int64_t columns) {
  const T s = sum_of_exponentials(x, columns, max_of(x, columns),
                                  [=](int64_t i, Vec<T> e, auto count) { store(y + i, e, count); });
  const T scale = T{1} / s;
  each_vector<T>(columns, [=](int64_t i, auto count) { store(y + i, load(y + i, count, T{0}) * scale, count); });
}

template <class T>
void log_softmax_row(const T* x, T* y, int64_t columns) {
  const T max = max_of(x, columns);
  const T s = sum_of_exponentials(x, columns, max, [](int64_t, Vec<T>, auto) {});
  const T log_s = vlog<T>(splat(s))[0];
  each_vector<T>(columns,
                 [=](int64_t i, auto count) { store(y + i, (load(x + i, count, T{0}) - max) - log_s, count); });
}

template <class T>
void softmax_backward_row(const T* y, const T* grad, T* out, int64_t columns) {
  // The lanes behind the end are 0 * -0 = -0, which changes no sum.
  const T s = fold_row<T, Sum<T>>(
      columns, [=](int64_t i, auto count) { return load(grad + i, count, T(-0.0)) * load(y + i, count, T{0}); });
  each_vector<T>(columns, [=](int64_t i, auto count) {
    store(out + i, load(y + i, count, T{0}) * (load(grad + i, count, T{0}) - s), count);
  });
}

template <class T>
void log_softmax_backward_row(const T* y, const T* grad, T* out, int64_t columns) {
  const Vec<T> s = splat(fold_row<T, Sum<T>>(grad, columns));
  each_vector<T>(columns, [=](int64_t i, auto count) {
    store(out + i, fma<T>(-vexp<T>(load(y + i, count, T{0})), s, load(grad + i, count, T{0})), count);
  });
}

// ---- kernels ----------------------------------------------------------------------------------------------------

Work rows_work(const Rows& a, double nanoseconds_per_element) {
  const int64_t rows = rows_of_item(a.columns);
  const double elements = static_cast<double>(rows * a.columns) * (is_short(a.columns) ? 2 : 1);
  return {1, {(a.rows + rows - 1) / rows, 0, 0}, {elements * nanoseconds_per_element, 0, 0}, 0, 0};
}

// Calls function(x, grad, out, rows, columns) for the rows of the items [first, last).
template <class T, class Function>
void on_rows(const Rows& a, int64_t first, int64_t last, Function function) {
  const int64_t begin = first * rows_of_item(a.columns), end = last * rows_of_item(a.columns);
  const int64_t offset = begin * a.columns;
  const T* x = static_cast<const T*>(a.x) + offset;
  const T* grad = a.grad ? static_cast<const T*>(a.grad) + offset : nullptr;
  function(x, grad, static_cast<T*>(a.out) + offset, (end < a.rows ? end : a.rows) - begin, a.columns);
}

template <class Function>
void on_rows(const Rows& a, int64_t first, int64_t last, Function function) {
  if (a.dtype == DType::float32) on_rows<float>(a, first, last, function);
  else on_rows<double>(a, first, last, function);
}

Work softmax_work(const Rows& a) { return rows_work(a, 0.06 * static_cast<double>(item_size(a.dtype))); }

void softmax_run(const Rows& a, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  on_rows(a, first, last, [](auto* x, auto*, auto* y, int64_t rows, int64_t columns) {
    if (is_short(columns)) return softmax_short(x, y, rows, columns);
    for (int64_t r = 0; r < rows; ++r) softmax_row(x + r * columns, y + r * columns, columns);
  });
}

void log_softmax_run(const Rows& a, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  on_rows(a, first, last, [](auto* x, auto*, auto* y, int64_t rows, int64_t columns) {
    if (is_short(columns)) return log_softmax_short(x, y, rows, columns);
    for (int64_t r = 0; r < rows; ++r) log_softmax_row(x + r * columns, y + r * columns, columns);
  });
}

Work backward_work(const Rows& a) { return rows_work(a, 0.04 * static_cast<double>(item_size(a.dtype))); }

void softmax_backward_run(const Rows& a, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  on_rows(a, first, last, [](auto* y, auto* grad, auto* out, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows * columns; r += columns) softmax_backward_row(y + r, grad + r, out + r, columns);
  });
}

void log_softmax_backward_run(const Rows& a, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  on_rows(a, first, last, [](auto* y, auto* grad, auto* out, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows * columns; r += columns) log_softmax_backward_row(y + r, grad + r, out + r, columns);
  });
}

}  // namespace

namespace FASTNN_ISA {
void register_softmax(KernelTable& table) {
  table.softmax = {softmax_work, softmax_run};
  table.softmax_backward = {backward_work, softmax_backward_run};
  table.log_softmax = {softmax_work, log_softmax_run};
  table.log_softmax_backward = {softmax_work, log_softmax_backward_run};
}
}  // namespace FASTNN_ISA

}  // namespace fastnn
