// cross_entropy, row by row: the loss and the gradient, by the expressions of cpu/cross_entropy.h.
#pragma once

#include "cuda/softmax.h"

namespace fastnn::cuda {
namespace {

// A call in its dtype. The denominator is read where a launch before this one has left it.
template <class T>
struct CrossEntropyCall {
  int64_t rows, classes, ignore_index;
  const T* logits;
  const int64_t* labels;
  const T *probabilities, *weight;
  T *losses, *grad, *total;  // total: null where the losses of rows are asked for
  const T* denominator;      // null: it is `divisor`
  T divisor;
  T rest, share, smoothing;  // 1 - smoothing; smoothing / classes
  bool is_plain;             // labels without smoothing

  FASTNN_INLINE bool ignores(int64_t row) const { return labels && labels[row] == ignore_index; }
};

// The sum of the weights of labels that are not ignored, or their number.
template <int halves, class T>
FASTNN_INLINE T denominator_of(const CrossEntropyCall<T>& call, T* shared) {
  if (call.weight)
    return fold_row<halves, T, Sum<T>>(call.rows, shared,
                                       [&](int64_t i) { return call.ignores(i) ? T{0} : call.weight[call.labels[i]]; });
  // A float counts exactly as far as it can; 64 bits of integers do always.
  static_assert(sizeof(T) <= sizeof(uint64_t));
  __shared__ uint64_t counts[halves];
  return static_cast<T>(fold_row<halves, uint64_t, Sum<uint64_t>>(
      call.rows, counts, [&](int64_t i) { return uint64_t{!call.ignores(i)}; }));
}

// smoothing / classes times the sum of weight.
template <int halves, class T>
FASTNN_INLINE T share_of_all(const CrossEntropyCall<T>& call, T* shared) {
  if (!call.weight || call.share == 0) return call.smoothing;
  return call.share * sum_row<halves>(call.weight, call.classes, shared);
}

// Labels without smoothing.
template <int halves, class T>
FASTNN_INLINE T plain_row(const CrossEntropyCall<T>& call, int64_t row, T denominator, T* shared) {
  const int64_t classes = call.classes, label = call.labels[row];
  const T* x = call.logits + row * classes;
  const T weight = call.weight ? call.weight[label] : T{1};
  const T max = max_of<halves>(x, classes, shared), s = sum_of_exponentials<halves>(x, classes, max, shared);
  if (call.grad) {
    T* grad = call.grad + row * classes;
    const T scale = T{1} / s, g = weight / denominator;
    each_element<halves>(classes, [=](int64_t i) {
      const T p = vexp<T>(x[i] - max) * scale;
      grad[i] = (i == label ? p - T{1} : p) * g;
    });
  }
  return weight * (weight == 0 ? s : vlog<T>(s) - (x[label] - max));
}

// Smoothing or probabilities.
template <int halves, class T>
FASTNN_INLINE T general_row(const CrossEntropyCall<T>& call, int64_t row, T denominator, T of_share, T* shared) {
  const int64_t classes = call.classes, label = call.labels ? call.labels[row] : -1;
  const T *x = call.logits + row * classes, *target = call.labels ? nullptr : call.probabilities + row * classes;
  const T *weight = call.weight, rest = call.rest, share = call.share;
  auto q_at = [=](int64_t i) {
    const T q = target ? fma<T>(rest, target[i], share) : i == label ? rest + share : share;
    return weight ? q * weight[i] : q;
  };
  const T max = max_of<halves>(x, classes, shared), s = sum_of_exponentials<halves>(x, classes, max, shared);
  const T log_s = vlog<T>(s);
  const T loss = fold_row<halves, T, Sum<T>>(classes, shared, [=](int64_t i) {
    const T q = q_at(i);
    return q * (q == T{0} ? s : log_s - (x[i] - max));
  });
  if (call.grad) {
    T* grad = call.grad + row * classes;
    const T of_target =
        !target ? (weight ? weight[label] : T{1}) : fold_row<halves, T, Sum<T>>(classes, shared, [=](int64_t i) {
          return weight ? target[i] * weight[i] : target[i];
        });
    const T total = fma<T>(rest, of_target, of_share), scale = T{1} / s, g = T{1} / denominator;
    each_element<halves>(classes, [=](int64_t i) {
      const T p = vexp<T>(x[i] - max) * scale;
      grad[i] = fma<T>(p, total, -q_at(i)) * g;
    });
  }
  return loss;
}

// By a team. An ignored row has loss 0 and gradient 0, whatever its logits.
template <int halves, bool plain, class T>
FASTNN_INLINE void cross_entropy_row(const CrossEntropyCall<T>& call, int64_t row, T denominator, T of_share,
                                     T* shared) {
  T loss{0};
  if (call.ignores(row)) {
    T* grad = call.grad ? call.grad + row * call.classes : nullptr;
    if (grad) each_element<halves>(call.classes, [=](int64_t i) { grad[i] = T{0}; });
  } else if constexpr (plain) {
    loss = plain_row<halves>(call, row, denominator, shared);
  } else {
    loss = general_row<halves>(call, row, denominator, of_share, shared);
  }
  if (Team<halves>::rank() == 0) call.losses[row] = loss;
}

// All of it by one block of threads.
template <bool plain, class T>
FASTNN_INLINE void cross_entropy_in_block(const CrossEntropyCall<T>& call) {
  T* none = nullptr;
  T denominator = call.divisor;
  if (call.denominator) denominator = denominator_of<1>(call, none);  // by each half for itself
  const T of_share = plain ? T{0} : share_of_all<1>(call, none);
  each_row<1>(call.rows, [&](int64_t row) { cross_entropy_row<1, plain>(call, row, denominator, of_share, none); });
  if (!call.total) return;
  __syncthreads();
  if (threadIdx.x < fold_lanes) {
    const T sum = sum_row<1>(static_cast<const T*>(call.losses), call.rows, none);
    if (threadIdx.x == 0) *call.total = sum / denominator;
  }
}

// ---- on the host --------------------------------------------------------------------------------------------------

// Workspace: the denominator, then from byte 64 on the losses of the rows.
inline constexpr int64_t losses_at = 64;
inline constexpr int small_threads = 512;

// Whether one block of threads does it: sixteen rows at most for each half of a warp, or fewer and wider ones.
inline bool is_small(const CrossEntropy& a) {
  return a.rows <= 512 && a.rows * ceil_div(a.classes, fold_lanes) <= 16 * small_threads / fold_lanes;
}

template <class T>
CrossEntropyCall<T> call_of(const CrossEntropy& a, std::byte* workspace) {
  T* total = a.reduction == Reduction::none ? nullptr : static_cast<T*>(a.loss);
  return {a.rows,
          a.classes,
          a.ignore_index,
          static_cast<const T*>(a.logits),
          a.labels,
          static_cast<const T*>(a.probabilities),
          static_cast<const T*>(a.weight),
          total ? reinterpret_cast<T*>(workspace + losses_at) : static_cast<T*>(a.loss),
          static_cast<T*>(a.grad),
          total,
          a.labels && a.reduction == Reduction::mean ? reinterpret_cast<const T*>(workspace) : nullptr,
          a.reduction == Reduction::mean ? static_cast<T>(a.rows) : T{1},
          static_cast<T>(1 - a.label_smoothing),
          static_cast<T>(a.label_smoothing / static_cast<double>(a.classes)),
          static_cast<T>(a.label_smoothing),
          a.labels && a.label_smoothing == 0};
}

}  // namespace
}  // namespace fastnn::cuda
