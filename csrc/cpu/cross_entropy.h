// cross_entropy, row by row: the loss and the gradient in one pass.
//
// With m, e and s of row i as in softmax.h, L = log(s), p = e (1 / s), t the label and D the denominator:
//   D     the sum of weight[t] over the rows that are not ignored, or their number; n for probabilities; 1 unless mean
//   labels without smoothing
//     loss  L - (x_t - m), times weight[t]
//     grad  (p - [t]) g  with [t] = 1 at the label, else 0;  g = weight[t] / D
//   smoothing or probabilities
//     q     (1 - smoothing) [t] + smoothing / classes, or fma(1 - smoothing, target, smoothing / classes); times weight
//     loss  sum of q (L - (x - m))
//     grad  fma(p, Q, -q) g  with g = 1 / D and Q, the sum of q, made as
//           fma(1 - smoothing, weight[t] or the sum of target weight, smoothing / classes times the sum of weight)
// What is multiplied by a weight or a q of 0 is s instead, so that an infinite loss counts for nothing there and a row
// of NaN stays one. An ignored row has loss 0 and gradient 0, whatever its logits. Sums are the sixteen-lane folds of
// reduce.h.
//
// Why it is fast: see softmax.h. The gradient is made while the exponentials are in registers (up to sixteen classes,
// lanes are rows) or in cache, and no logarithm is ever taken of a softmax.
#pragma once

#include "cpu/softmax.h"
#include "kernels/kernels.h"

namespace fastnn {
namespace {

// -1 for an ignored row, and for one that is not there.
template <class T>
FASTNN_INLINE Vec<Int<T>> load_labels(const int64_t* labels, int64_t count, int64_t ignore_index) {
  constexpr int parts = lanes<T> / lanes<int64_t>;
  Vec<int64_t> label[parts];
  for (int k = 0; k < parts; ++k) {
    const int64_t first = k * lanes<int64_t>, left = count - first;
    const int64_t exist = left < lanes<int64_t> ? left : lanes<int64_t>;
    label[k] = exist > 0 ? load(labels + first, exist, ignore_index) : splat(ignore_index);
    label[k] = label[k] == ignore_index ? splat(int64_t{-1}) : label[k];
  }
  if constexpr (parts == 1) {
    return label[0];
  } else {
    Vec<int32_t> low_halves;
    for (int i = 0; i < lanes<int32_t>; ++i) low_halves[i] = 2 * i;
    return shuffle<int32_t>(bits_as<Vec<int32_t>>(label[0]), bits_as<Vec<int32_t>>(label[1]), low_halves);
  }
}

// `room` holds a number per row for a while.
template <class T>
T denominator(const CrossEntropy& a, T* room) {
  if (!a.weight) {
    int64_t kept = 0;
    for (int64_t i = 0; i < a.rows; ++i) kept += a.labels[i] != a.ignore_index;
    return static_cast<T>(kept);
  }
  const T* weight = static_cast<const T*>(a.weight);
  for (int64_t i = 0; i < a.rows; ++i) room[i] = a.labels[i] != a.ignore_index ? weight[a.labels[i]] : T{0};
  return sum_row(room, a.rows);
}

// What the functions below know of a call, in its dtype.
template <class T>
struct CrossEntropyCall {
  const CrossEntropy& a;
  const T *logits, *probabilities, *weight;
  T *grad, *losses;
  T denominator;
  T rest, share, of_share;  // 1 - smoothing; smoothing / classes; that times the sum of weight
};

// Lanes are rows.
template <class T>
struct RowLabels {
  Vec<Int<T>> label;  // -1 where ignored
  Vec<T> weight;      // 0 where ignored
};

template <class T>
FASTNN_INLINE RowLabels<T> labels_of(const CrossEntropyCall<T>& call, int64_t row, int64_t count, Columns<T>& x,
                                     int64_t columns) {
  const Vec<Int<T>> label = load_labels<T>(call.a.labels + row, count, call.a.ignore_index);
  Vec<T> weight = label < 0 ? Vec<T>{} : splat(T{1});
  if (call.weight)
    for (int r = 0; r < lanes<T>; ++r) weight[r] = label[r] >= 0 ? call.weight[label[r]] : T{0};
  if (any<T>(label < 0))  // no NaN may come from their logits
    for (int c = 0; c < columns; ++c) x.v[c] = label < 0 ? Vec<T>{} : x.v[c];
  return {label, weight};
}

// Labels without smoothing, at most sixteen classes.
template <class T>
void plain_short_rows(const CrossEntropyCall<T>& call, int64_t begin, int64_t end) {
  const T g_of_one = T{1} / call.denominator;
  auto group = [&](const T* x, T* to, int64_t columns, int64_t row, int64_t count) __attribute__((always_inline)) {
    Columns<T> e = load_columns(x, columns);
    const auto [label, weight] = labels_of(call, begin + row, count, e, columns);
    subtract_max(e, columns);
    Vec<T> target{};
    for (int c = 0; c < columns; ++c) target = label == c ? e.v[c] : target;
    const Vec<T> s = exponentials(e, e, columns);
    const Vec<T> loss = vlog<T>(s) - target;
    store(call.losses + begin + row, weight * (weight == T{0} ? s : loss), count);
    if (!call.grad) return;
    const Vec<T> scale = T{1} / s, weighted = call.weight ? weight / call.denominator : splat(g_of_one);
    const Vec<T> g = label < 0 ? Vec<T>{} : weighted;  // also where the denominator is 0
    for (int c = 0; c < columns; ++c) {
      const Vec<T> p = e.v[c] * scale;
      e.v[c] = (label == c ? p - T{1} : p) * g;
    }
    store_columns(to, e, columns);
  };
  const int64_t offset = begin * call.a.classes;
  each_group(call.a.classes, call.logits + offset, call.grad ? call.grad + offset : nullptr, end - begin, group);
}

// Smoothing or probabilities, at most sixteen classes.
template <class T>
void general_short_rows(const CrossEntropyCall<T>& call, int64_t begin, int64_t end) {
  auto group = [&](const T* x, T* to, int64_t columns, int64_t row, int64_t count) __attribute__((always_inline)) {
    Columns<T> shifted = load_columns(x, columns), q, e;
    Vec<T> of_target, g = splat(T{1} / call.denominator), of_share = splat(call.of_share);
    if (call.a.labels) {
      const auto [label, weight] = labels_of(call, begin + row, count, shifted, columns);
      of_target = weight;
      of_share = label < 0 ? Vec<T>{} : of_share;
      g = label < 0 ? Vec<T>{} : g;
      for (int c = 0; c < columns; ++c) {
        const T w = call.weight ? call.weight[c] : T{1}, miss = call.share * w, hit = (call.rest + call.share) * w;
        q.v[c] = label < 0 ? Vec<T>{} : label == c ? splat(hit) : splat(miss);
      }
    } else {
      T copy[lanes<T> * fold_lanes] = {};
      const T* target = call.probabilities + (begin + row) * columns;
      if (count < lanes<T>)
        target = static_cast<T*>(__builtin_memcpy(copy, target, static_cast<size_t>(count * columns) * sizeof(T)));
      q = load_columns(target, columns);
      for (int c = 0; c < columns; ++c) {
        const Vec<T> w = splat(call.weight ? call.weight[c] : T{1});
        e.v[c] = q.v[c] * w;
        q.v[c] = fma<T>(splat(call.rest), q.v[c], splat(call.share)) * w;
      }
      of_target = sum_of(e, columns);
    }
    subtract_max(shifted, columns);
    const Vec<T> s = exponentials(shifted, e, columns);
    const Vec<T> log_s = vlog<T>(s), total = fma<T>(splat(call.rest), of_target, of_share), scale = T{1} / s;
    for (int c = 0; c < columns; ++c) shifted.v[c] = q.v[c] * (q.v[c] == T{0} ? s : log_s - shifted.v[c]);
    store(call.losses + begin + row, sum_of(shifted, columns), count);
    if (!call.grad) return;
    for (int c = 0; c < columns; ++c) shifted.v[c] = fma<T>(e.v[c] * scale, total, -q.v[c]) * g;
    store_columns(to, shifted, columns);
  };
  const int64_t offset = begin * call.a.classes;
  each_group(call.a.classes, call.logits + offset, call.grad ? call.grad + offset : nullptr, end - begin, group);
}

// Labels without smoothing, more classes.
template <class T>
T plain_long_row(const CrossEntropyCall<T>& call, int64_t row) {
  const int64_t classes = call.a.classes, label = call.a.labels[row];
  const T* x = call.logits + row * classes;
  T* grad = call.grad ? call.grad + row * classes : nullptr;
  const T max = max_of(x, classes), shifted = x[label] - max, weight = call.weight ? call.weight[label] : T{1};
  T s;
  if (grad) {
    s = sum_of_exponentials(x, classes, max, [=](int64_t i, Vec<T> e, auto count) { store(grad + i, e, count); });
    const T scale = T{1} / s, g = weight / call.denominator, at_label = (grad[label] * scale - T{1}) * g;
    each_vector<T>(classes,
                   [=](int64_t i, auto count) { store(grad + i, load(grad + i, count, T{0}) * scale * g, count); });
    grad[label] = at_label;
  } else {
    s = sum_of_exponentials(x, classes, max, [](int64_t, Vec<T>, auto) {});
  }
  return weight * (weight == 0 ? s : vlog<T>(splat(s))[0] - shifted);
}

// Smoothing or probabilities, more classes.
template <class T>
T general_long_row(const CrossEntropyCall<T>& call, int64_t row) {
  const int64_t classes = call.a.classes, label = call.a.labels ? call.a.labels[row] : -1;
  const T *x = call.logits + row * classes, *target = call.probabilities + (call.a.labels ? 0 : row * classes);
  T* grad = call.grad ? call.grad + row * classes : nullptr;
  Vec<Int<T>> lane;
  for (int i = 0; i < lanes<T>; ++i) lane[i] = i;
  auto q_at = [&](int64_t i, auto count) {
    const int64_t at = label - i;
    const Int<T> hit = at >= 0 && at < lanes<T> ? static_cast<Int<T>>(at) : -1;
    const Vec<T> q = label < 0     ? fma<T>(splat(call.rest), load(target + i, count, T{0}), splat(call.share))
                     : lane == hit ? splat(call.rest + call.share)
                                   : splat(call.share);
    return existing<T>(call.weight ? q * load(call.weight + i, count, T{0}) : q, count);
  };
  const T max = max_of(x, classes);
  T s;
  if (grad)
    s = sum_of_exponentials(x, classes, max, [=](int64_t i, Vec<T> e, auto count) { store(grad + i, e, count); });
  else s = sum_of_exponentials(x, classes, max, [](int64_t, Vec<T>, auto) {});
  const T log_s = vlog<T>(splat(s))[0];
  const T loss = fold_row<T, Sum<T>>(classes, [&](int64_t i, auto count) {
    const Vec<T> q = q_at(i, count);
    return existing<T>(q * (q == T{0} ? splat(s) : log_s - (load(x + i, count, T{0}) - max)), count);
  });
  if (grad) {
    const T of_target = label >= 0 ? (call.weight ? call.weight[label] : T{1})
                                   : fold_row<T, Sum<T>>(classes, [&](int64_t i, auto count) {
                                       const Vec<T> t = load(target + i, count, Sum<T>::identity);
                                       return call.weight ? t * load(call.weight + i, count, T{1}) : t;
                                     });
    const T total = fma1<T>(call.rest, of_target, call.of_share), scale = T{1} / s, g = T{1} / call.denominator;
    each_vector<T>(classes, [&](int64_t i, auto count) {
      const Vec<T> p = load(grad + i, count, T{0}) * scale;
      store(grad + i, fma<T>(p, splat(total), -q_at(i, count)) * g, count);
    });
  }
  return loss;
}

template <class T>
void cross_entropy_rows(const CrossEntropyCall<T>& call, int64_t begin, int64_t end) {
  const CrossEntropy& a = call.a;
  const bool plain = a.labels && a.label_smoothing == 0;
  if (is_short(a.classes)) return plain ? plain_short_rows(call, begin, end) : general_short_rows(call, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    if (a.labels && a.labels[row] == a.ignore_index) {
      call.losses[row] = 0;
      if (call.grad) __builtin_memset(call.grad + row * a.classes, 0, static_cast<size_t>(a.classes) * sizeof(T));
    } else {
      call.losses[row] = plain ? plain_long_row(call, row) : general_long_row(call, row);
    }
  }
}

// ---- the parts of a call: the denominator, rows, the sum of their losses -----------------------------------------

// Workspace: the denominator, then from byte 64 on the losses of the rows.
constexpr int64_t losses_at = 64;

inline bool has_denominator(const CrossEntropy& a) { return a.labels && a.reduction == Reduction::mean; }
inline bool has_sum(const CrossEntropy& a) { return a.reduction != Reduction::none; }
inline int64_t workspace_of(const CrossEntropy& a) { return losses_at + a.rows * item_size(a.dtype); }
inline double nanoseconds_of_row(const CrossEntropy& a) {
  return is_short(a.classes) ? 6 : 0.08 * static_cast<double>(a.classes * item_size(a.dtype));
}

template <class T>
T divisor_of(const CrossEntropy& a, const std::byte* workspace) {
  if (has_denominator(a)) return *reinterpret_cast<const T*>(workspace);
  return a.reduction == Reduction::mean ? static_cast<T>(a.rows) : T{1};
}

template <class T>
void find_denominator(const CrossEntropy& a, std::byte* workspace) {
  *reinterpret_cast<T*>(workspace) = denominator(a, reinterpret_cast<T*>(workspace + losses_at));
}

// Rows [begin, end), once the denominator is known.
template <class T>
void cross_entropy_part(const CrossEntropy& a, int64_t begin, int64_t end, std::byte* workspace) {
  const T share = static_cast<T>(a.label_smoothing / static_cast<double>(a.classes));
  const CrossEntropyCall<T> call{a,
                                 static_cast<const T*>(a.logits),
                                 static_cast<const T*>(a.probabilities),
                                 static_cast<const T*>(a.weight),
                                 static_cast<T*>(a.grad),
                                 has_sum(a) ? reinterpret_cast<T*>(workspace + losses_at) : static_cast<T*>(a.loss),
                                 divisor_of<T>(a, workspace),
                                 static_cast<T>(1 - a.label_smoothing),
                                 share,
                                 a.weight && share != 0 ? share * sum_row(static_cast<const T*>(a.weight), a.classes)
                                                        : static_cast<T>(a.label_smoothing)};
  cross_entropy_rows(call, begin, end);
}

template <class T>
void sum_losses(const CrossEntropy& a, const std::byte* workspace) {
  *static_cast<T*>(a.loss) =
      sum_row(reinterpret_cast<const T*>(workspace + losses_at), a.rows) / divisor_of<T>(a, workspace);
}

}  // namespace
}  // namespace fastnn
