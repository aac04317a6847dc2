// mse_loss, block by block of its fold: the loss and the gradient, by the expressions of cpu/loss.cpp.
#pragma once

#include "cuda/reduce.h"

namespace fastnn::cuda {
namespace {

template <class T>
struct SquaredErrorCall {
  int64_t count;
  const T *prediction, *target;
  T *loss, *grad, *results;  // of elements, or null; of elements, or null; of blocks
  T factor, g, divisor;      // the result of the only block is divided
};

template <class T>
FASTNN_INLINE void mse_blocks(const SquaredErrorCall<T>& a) {
  const int64_t blocks = ceil_div(a.count, fold_block_size);
  for (int64_t block = first_half(); block < blocks; block += all_halves()) {
    const int64_t first = block * fold_block_size;
    const T result = fold_block<T, Sum<T>>(first, at_most(first + fold_block_size, a.count), [&](int64_t i) {
      const T d = a.prediction[i] - a.target[i], square = d * d * a.factor;
      if (a.grad) a.grad[i] = d * a.g;
      if (a.loss) a.loss[i] = square;
      return square;
    });
    if (a.results && Team<1>::lane() == 0) a.results[block] = result / a.divisor;
  }
}

template <class T>
T divisor_of(const SquaredError& a) {
  return a.reduction == Reduction::mean ? static_cast<T>(a.count) : T{1};
}

// Of several blocks, the results are left in the workspace, to be summed up.
template <class T>
SquaredErrorCall<T> call_of(const SquaredError& a, std::byte* workspace) {
  const int64_t blocks = ceil_div(a.count, fold_block_size);
  const bool none = a.reduction == Reduction::none, mean = a.reduction == Reduction::mean;
  T *results = reinterpret_cast<T*>(workspace), *total = none ? nullptr : static_cast<T*>(a.loss);
  return {a.count,
          static_cast<const T*>(a.prediction),
          static_cast<const T*>(a.target),
          none ? static_cast<T*>(a.loss) : nullptr,
          static_cast<T*>(a.grad),
          blocks > 1 && !none ? results : total,
          a.half ? T(0.5) : T{1},
          static_cast<T>((a.half ? 1.0 : 2.0) / (mean ? static_cast<double>(a.count) : 1.0)),
          blocks > 1 ? T{1} : divisor_of<T>(a)};
}

}  // namespace
}  // namespace fastnn::cuda
