// softmax, log_softmax and their backward, row by row: the expressions of cpu/softmax.cpp.
//
// softmax               y = e (1 / s)
// softmax_backward      y (grad - sum(grad y))        products are rounded before they are added
// log_softmax           (x - m) - log(s)
// log_softmax_backward  fma(-exp(y), sum(grad), grad)
//
// Why it is fast: see softmax.h.
#include "cuda/softmax.h"

namespace fastnn::cuda {
namespace {

struct Softmax {
  template <int halves, class T>
  static FASTNN_INLINE void row(const T* x, const T*, T* y, int64_t columns, T* shared) {
    const T max = max_of<halves>(x, columns, shared);
    const T scale = T{1} / sum_of_exponentials<halves>(x, columns, max, shared);
    each_element<halves>(columns, [=](int64_t i) { y[i] = vexp<T>(x[i] - max) * scale; });
  }
};

struct LogSoftmax {
  template <int halves, class T>
  static FASTNN_INLINE void row(const T* x, const T*, T* y, int64_t columns, T* shared) {
    const T max = max_of<halves>(x, columns, shared);
    const T log_s = vlog<T>(sum_of_exponentials<halves>(x, columns, max, shared));
    each_element<halves>(columns, [=](int64_t i) { y[i] = (x[i] - max) - log_s; });
  }
};

struct SoftmaxBackward {
  template <int halves, class T>
  static FASTNN_INLINE void row(const T* y, const T* grad, T* out, int64_t columns, T* shared) {
    const T s = fold_row<halves, T, Sum<T>>(columns, shared, [=](int64_t i) { return grad[i] * y[i]; });
    each_element<halves>(columns, [=](int64_t i) { out[i] = y[i] * (grad[i] - s); });
  }
};

struct LogSoftmaxBackward {
  template <int halves, class T>
  static FASTNN_INLINE void row(const T* y, const T* grad, T* out, int64_t columns, T* shared) {
    const T s = fold_row<halves, T, Sum<T>>(columns, shared, [=](int64_t i) { return grad[i]; });
    each_element<halves>(columns, [=](int64_t i) { out[i] = fma<T>(-vexp<T>(y[i]), s, grad[i]); });
  }
};

template <class Function, class T, int halves>
FASTNN_KERNEL(halves == 1 ? row_threads : halves * fold_lanes)
rows_kernel(const T* x, const T* grad, T* out, int64_t rows, int64_t columns) {
  __shared__ T shared[halves];
  each_row<halves>(rows, [&](int64_t row) {
    const int64_t at = row * columns;
    Function::template row<halves>(x + at, grad ? grad + at : nullptr, out + at, columns, shared);
  });
}

template <class Function, class T>
void run(const Rows& a) {
  constexpr int many = halves_of_long_row;
  const T *x = static_cast<const T*>(a.x), *grad = static_cast<const T*>(a.grad);
  T* out = static_cast<T*>(a.out);
  if (is_long(a.columns))
    launch(rows_kernel<Function, T, many>, geometry_of_teams(a.rows, many), x, grad, out, a.rows, a.columns);
  else launch(rows_kernel<Function, T, 1>, geometry_of_teams(a.rows, 1), x, grad, out, a.rows, a.columns);
}

template <class Function>
DeviceKernel<Rows> by_rows() {
  return {nullptr, [](const Rows& a, std::byte*) {
            if (a.dtype == DType::float32) run<Function, float>(a);
            else run<Function, double>(a);
          }};
}

}  // namespace

void register_softmax(Table<DeviceKernel>& table) {
  table.softmax = by_rows<Softmax>();
  table.softmax_backward = by_rows<SoftmaxBackward>();
  table.log_softmax = by_rows<LogSoftmax>();
  table.log_softmax_backward = by_rows<LogSoftmaxBackward>();
}

}  // namespace fastnn::cuda
