// cross_entropy, mse_loss, accuracy. A loss and its gradient come from one pass; without grad only the loss is made.
//
// cross_entropy, with m, e and s of row i as in softmax.h, L = log(s), p = e (1 / s), t the label, D the denominator:
//   D     the sum of weight[t] over the rows that are not ignored, or their number; n for probabilities; 1 unless mean
//   labels without smoothing:
//     loss  L - (x_t - m), times weight[t]                (0 where weight[t] is 0)
//     grad  (p - [t]) g,  g = weight[t] / D               ([t]: 1 at the label, else 0)
//   smoothing or probabilities:
//     q     (1 - smoothing) [t] + smoothing / classes, or fma(1 - smoothing, target, smoothing / classes); times weight
//     loss  sum of q (L - (x - m))                        (terms where q is 0 are 0)
//     grad  fma(p, Q, -q) g,  g = 1 / D, with Q the sum of q, as
//           fma(1 - smoothing, weight[t] or the sum of target weight, smoothing / classes times the sum of weight)
//   An ignored row has loss 0 and gradient 0. The result is the sum of the rows' losses, divided by D.
// mse_loss, d = prediction - target: loss d d, or 0.5 (d d); their sum, divided by the count for mean;
//   grad d g, g = 2 / count or 1 / count with half (count is 1 unless mean), rounded once.
// accuracy: the number of rows whose first largest logit (NaN is the largest) stands at the label, / rows in double.
// All sums are the sixteen-lane folds of reduce.h. Why cross-entropy is fast: see softmax.h; a row's gradient is made
// while its exponentials are in registers or in cache, and never is a logarithm taken of a softmax.
#include "cpu/softmax.h"

#include "kernels/kernels.h"

namespace fastnn {
namespace {

constexpr int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- cross_entropy ----------------------------------------------------------------------------------------------

// Workspace: the denominator, then from byte 64 on the losses of the rows.
constexpr int64_t losses_at = 64;

enum class Stage { denominator, rows, sum };

bool has_denominator(const CrossEntropy& a) { return a.labels && a.reduction == Reduction::mean; }

// -1 for an ignored row, and for one that is not there.
template <class T>
FASTNN_INLINE Vec<Int<T>> load_labels(const int64_t* labels, int64_t count, int64_t ignore_index) {
  constexpr int parts = lanes<T> / lanes<int64_t>;
  Vec<int64_t> label[parts];
  for (int k = 0; k < parts; ++k) {
    const int64_t first = k * lanes<int64_t>, left = count - first;
    label[k] = left > 0 ? load(labels + first, at_most(left, lanes<int64_t>), ignore_index) : splat(ignore_index);
    label[k] = label[k] == ignore_index ? splat(int64_t{-1}) : label[k];
  }
  if constexpr (parts == 1) {
    return label[0];
  } else {
    Vec<int32_t> low_halves;
    for (int i = 0; i < lanes<int32_t>; ++i) low_halves[i] = 2 * i;
    return __builtin_shuffle(bits_as<Vec<int32_t>>(label[0]), bits_as<Vec<int32_t>>(label[1]), low_halves);
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
struct Call {
  const CrossEntropy& a;
  const T *logits, *probabilities, *weight;
  T *grad, *losses;
  T denominator;
};

// Labels without smoothing, at most sixteen classes.
template <class T>
void short_rows(const Call<T>& call, int64_t begin, int64_t end) {
  const int64_t classes = call.a.classes;
  T* grad = call.grad ? call.grad + begin * classes : nullptr;
  auto group = [&](const T* x, T* to, int64_t columns, int64_t row, int64_t count) __attribute__((always_inline)) {
    const Vec<Int<T>> label = load_labels<T>(call.a.labels + begin + row, count, call.a.ignore_index);
    const Vec<Int<T>> kept = label >= 0;
    Vec<T> weight = splat(T{1});
    if (call.weight)
      for (int r = 0; r < lanes<T>; ++r) weight[r] = label[r] >= 0 ? call.weight[label[r]] : T{0};
    Columns<T> e = load_columns(x, columns);
    subtract_max(e, columns);
    Vec<T> target{};
    for (int c = 0; c < columns; ++c) target = label == c ? e.v[c] : target;
    const Vec<T> s = exponentials(e, e, columns);
    const Vec<T> loss = vlog<T>(s) - target;
    const Vec<Int<T>> counted = kept & (weight != T{0});
    store(call.losses + begin + row, counted ? weight * loss : Vec<T>{}, count);
    if (!call.grad) return;
    const Vec<T> scale = T{1} / s, g = weight / call.denominator;
    for (int c = 0; c < columns; ++c) {
      const Vec<T> p = e.v[c] * scale;
      e.v[c] = kept ? (label == c ? p - T{1} : p) * g : Vec<T>{};
    }
    store_columns(to, e, columns);
  };
  each_group(classes, call.logits + begin * classes, grad, end - begin, group);
}

// Labels without smoothing, more classes.
template <class T>
T long_row(const Call<T>& call, int64_t row) {
  const int64_t classes = call.a.classes, label = call.a.labels[row];
  const T* x = call.logits + row * classes;
  T* grad = call.grad ? call.grad + row * classes : nullptr;
  const T max = max_of(x, classes), shifted = x[label] - max, weight = call.weight ? call.weight[label] : T{1};
  T s;
  if (grad) {
    s = sum_of_exponentials(x, classes, max, [=](int64_t i, Vec<T> e, auto count) { store(grad + i, e, count); });
    const T scale = T{1} / s, g = weight / call.denominator, at_label = (grad[label] * scale - T{1}) * g;
    each_vector<T>(classes, [=](int64_t i, auto count) {
      store(grad + i, load(grad + i, count, T{0}) * scale * g, count);
    });
    grad[label] = at_label;
  } else {
    s = sum_of_exponentials(x, classes, max, [](int64_t, Vec<T>, auto) {});
  }
  return weight == 0 ? T{0} : weight * (vlog<T>(splat(s))[0] - shifted);
}

// Leaves in lanes that do not exist what changes no sum.
template <class T>
FASTNN_INLINE Vec<T> existing(Vec<T> v, All) {
  return v;
}
template <class T>
FASTNN_INLINE Vec<T> existing(Vec<T> v, int64_t count) {
  return first_lanes<T>(count) ? v : splat(Sum<T>::identity);
}

// Smoothing or probabilities.
template <class T>
T general_row(const Call<T>& call, int64_t row) {
  const int64_t classes = call.a.classes, label = call.a.labels ? call.a.labels[row] : -1;
  const T rest = static_cast<T>(1 - call.a.label_smoothing);
  const T share = static_cast<T>(call.a.label_smoothing / static_cast<double>(classes));
  const T *x = call.logits + row * classes, *target = call.probabilities + (call.a.labels ? 0 : row * classes);
  T* grad = call.grad ? call.grad + row * classes : nullptr;
  Vec<Int<T>> lane;
  for (int i = 0; i < lanes<T>; ++i) lane[i] = i;
  auto q_at = [&](int64_t i, auto count) {
    const int64_t at = label - i;
    Vec<T> q = label < 0 ? fma<T>(splat(rest), load(target + i, count, T{0}), splat(share))
                         : (lane == (at >= 0 && at < lanes<T> ? static_cast<Int<T>>(at) : -1) ? splat(rest + share) : splat(share));
    return existing<T>(call.weight ? q * load(call.weight + i, count, T{0}) : q, count);
  };
  const T max = max_of(x, classes);
  T s;
  if (grad) s = sum_of_exponentials(x, classes, max, [=](int64_t i, Vec<T> e, auto count) { store(grad + i, e, count); });
  else s = sum_of_exponentials(x, classes, max, [](int64_t, Vec<T>, auto) {});
  const T log_s = vlog<T>(splat(s))[0];
  const T loss = fold_row<T, Sum<T>>(classes, [&](int64_t i, auto count) {
    const Vec<T> q = q_at(i, count);
    return existing<T>(q == T{0} ? Vec<T>{} : q * (log_s - (load(x + i, count, T{0}) - max)), count);
  });
  if (grad) {
    const T of_target = label >= 0 ? (call.weight ? call.weight[label] : T{1})
                                   : fold_row<T, Sum<T>>(classes, [&](int64_t i, auto count) {
                                       const Vec<T> t = load(target + i, count, Sum<T>::identity);
                                       return call.weight ? t * load(call.weight + i, count, T{1}) : t;
                                     });
    const T of_share = call.weight ? share * sum_row(call.weight, classes) : static_cast<T>(call.a.label_smoothing);
    const T total = fma1<T>(rest, of_target, of_share), scale = T{1} / s, g = T{1} / call.denominator;
    each_vector<T>(classes, [&](int64_t i, auto count) {
      const Vec<T> p = load(grad + i, count, T{0}) * scale;
      store(grad + i, fma<T>(p, splat(total), -q_at(i, count)) * g, count);
    });
  }
  return loss;
}

template <class T>
void each_row(const Call<T>& call, int64_t begin, int64_t end) {
  const CrossEntropy& a = call.a;
  const bool plain = a.labels && a.label_smoothing == 0;
  if (plain && is_short(a.classes)) return short_rows(call, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    if (a.labels && a.labels[row] == a.ignore_index) {
      call.losses[row] = 0;
      if (call.grad) __builtin_memset(call.grad + row * a.classes, 0, static_cast<size_t>(a.classes) * sizeof(T));
    } else {
      call.losses[row] = plain ? long_row(call, row) : general_row(call, row);
    }
  }
}

template <class T>
void cross_entropy_stage(const CrossEntropy& a, Stage stage, int64_t first, int64_t last, std::byte* workspace) {
  T* room = reinterpret_cast<T*>(workspace + losses_at);
  T* shared = reinterpret_cast<T*>(workspace);
  if (stage == Stage::denominator) {
    *shared = denominator(a, room);
    return;
  }
  const T divisor = has_denominator(a) ? *shared : a.reduction == Reduction::mean ? static_cast<T>(a.rows) : T{1};
  if (stage == Stage::sum) {
    *static_cast<T*>(a.loss) = sum_row(room, a.rows) / divisor;
    return;
  }
  const Call<T> call{a,
                     static_cast<const T*>(a.logits),
                     static_cast<const T*>(a.probabilities),
                     static_cast<const T*>(a.weight),
                     static_cast<T*>(a.grad),
                     a.reduction == Reduction::none ? static_cast<T*>(a.loss) : room,
                     divisor};
  const int64_t rows = rows_of_item(a.classes);
  each_row(call, first * rows, at_most(last * rows, a.rows));
}

Work cross_entropy_work(const CrossEntropy& a) {
  const int64_t rows = rows_of_item(a.classes);
  const double n = static_cast<double>(a.rows), item = static_cast<double>(rows);
  const double row = is_short(a.classes) ? 8 : 0.08 * static_cast<double>(a.classes * item_size(a.dtype));
  Work work{0, {}, {}, losses_at + a.rows * item_size(a.dtype), 0};
  auto add = [&](int64_t items, double cost) {
    work.items[work.phases] = items;
    work.cost[work.phases++] = cost;
  };
  if (has_denominator(a)) add(1, n * (a.weight ? 2 : 0.3));
  add(ceil_div(a.rows, rows), item * row);
  if (a.reduction != Reduction::none) add(1, n * 0.1);
  return work;
}

void cross_entropy_run(const CrossEntropy& a, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte*) {
  const Stage stage = static_cast<Stage>(phase + !has_denominator(a));
  if (a.dtype == DType::float32) cross_entropy_stage<float>(a, stage, first, last, workspace);
  else cross_entropy_stage<double>(a, stage, first, last, workspace);
}

// ---- mse_loss ---------------------------------------------------------------------------------------------------

// An item is a block of the fold. Its result stands in the workspace until all are folded.
template <class T>
void mse_blocks(const SquaredError& a, int64_t first, int64_t last, T* results) {
  const T *prediction = static_cast<const T*>(a.prediction), *target = static_cast<const T*>(a.target);
  T *grad = static_cast<T*>(a.grad), *loss = a.reduction == Reduction::none ? static_cast<T*>(a.loss) : nullptr;
  const T factor = a.half ? T(0.5) : T{1};
  const T g = static_cast<T>((a.half ? 1.0 : 2.0) / (a.reduction == Reduction::mean ? static_cast<double>(a.count) : 1.0));
  for (int64_t block = first; block < last; ++block) {
    const int64_t begin = block * fold_block_size;
    results[block] = fold_block<T, Sum<T>>(begin, at_most(begin + fold_block_size, a.count), [=](int64_t i, auto count) {
      const Vec<T> d = load(prediction + i, count, T{0}) - load(target + i, count, T{0});
      const Vec<T> square = d * d * factor;
      if (grad) store(grad + i, d * g, count);
      if (loss) store(loss + i, square, count);
      return square;  // +0 where no element is: as good as the identity among squares
    });
  }
}

template <class T>
T mse_sum(const SquaredError& a, const T* results) {
  const int64_t blocks = ceil_div(a.count, fold_block_size);
  if (blocks <= 1) return blocks == 0 ? T{0} : results[0];
  BlockResults<T, Sum<T>> fold;
  for (int64_t block = 0; block < blocks; ++block) fold.take(results[block]);
  return fold.finish();
}

template <class T>
void mse_phase(const SquaredError& a, int phase, int64_t first, int64_t last, std::byte* workspace) {
  T* results = reinterpret_cast<T*>(workspace);
  if (phase == 0) return mse_blocks(a, first, last, results);
  *static_cast<T*>(a.loss) = mse_sum(a, results) / (a.reduction == Reduction::mean ? static_cast<T>(a.count) : T{1});
}

Work mse_work(const SquaredError& a) {
  const int64_t blocks = ceil_div(a.count, fold_block_size), size = item_size(a.dtype);
  return {a.reduction == Reduction::none ? 1 : 2,
          {blocks, 1, 0},
          {0.04 * static_cast<double>(fold_block_size * size), 3.0 * static_cast<double>(blocks), 0},
          blocks * size,
          0};
}

void mse_run(const SquaredError& a, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte*) {
  if (a.dtype == DType::float32) mse_phase<float>(a, phase, first, last, workspace);
  else mse_phase<double>(a, phase, first, last, workspace);
}

// ---- accuracy ---------------------------------------------------------------------------------------------------

template <class T>
int64_t correct_short_rows(const T* logits, const int64_t* labels, int64_t rows, int64_t classes) {
  Vec<Int<T>> wrong{};  // a count for each lane, negative
  each_group(classes, logits, static_cast<T*>(nullptr), rows,
             [&](const T* x, T*, int64_t columns, int64_t row, int64_t count) __attribute__((always_inline)) {
    const Columns<T> column = load_columns(x, columns);
    Vec<T> best = column.v[0];
    Vec<Int<T>> place{};
    for (int c = 1; c < columns; ++c) {
      const Vec<Int<T>> better = (column.v[c] > best) | (is_nan<T>(column.v[c]) & ~is_nan<T>(best));
      best = better ? column.v[c] : best;
      place = better ? splat(static_cast<Int<T>>(c)) : place;
    }
    wrong += (place != load_labels<T>(labels + row, count, -1)) & first_lanes<T>(count);
  });
  int64_t correct = rows;
  for (int i = 0; i < lanes<T>; ++i) correct += wrong[i];
  return correct;
}

// The label's logit is the first largest if those before it are smaller and those behind it not larger.
template <class T>
bool is_first_largest(const T* x, int64_t label, int64_t classes) {
  const Vec<T> logit = splat(x[label]);
  Vec<Int<T>> beaten{};
  if (x[label] != x[label]) {
    each_vector<T>(label, [&](int64_t i, auto count) { beaten |= is_nan<T>(load(x + i, count, T{0})); });
  } else {
    each_vector<T>(label, [&](int64_t i, auto count) { beaten |= ~(load(x + i, count, T(-__builtin_inf())) < logit); });
    each_vector<T>(classes - label, [&](int64_t i, auto count) { beaten |= ~(load(x + label + i, count, x[label]) <= logit); });
  }
  return !any<T>(beaten);
}

template <class T>
void accuracy_phase(const Accuracy& a, int phase, int64_t first, int64_t last, int64_t* correct) {
  const int64_t per_item = rows_of_item(a.classes);
  if (phase == 1) {
    int64_t total = 0;
    for (int64_t item = 0; item < ceil_div(a.rows, per_item); ++item) total += correct[item];
    *static_cast<T*>(a.out) = static_cast<T>(static_cast<double>(total) / static_cast<double>(a.rows));
    return;
  }
  for (int64_t item = first; item < last; ++item) {
    const int64_t begin = item * per_item, rows = at_most(per_item, a.rows - begin);
    const T* logits = static_cast<const T*>(a.logits) + begin * a.classes;
    const int64_t* labels = a.labels + begin;
    correct[item] = 0;
    if (is_short(a.classes)) correct[item] = correct_short_rows(logits, labels, rows, a.classes);
    else for (int64_t r = 0; r < rows; ++r) correct[item] += is_first_largest(logits + r * a.classes, labels[r], a.classes);
  }
}

Work accuracy_work(const Accuracy& a) {
  const int64_t rows = rows_of_item(a.classes), items = ceil_div(a.rows, rows);
  const double row = is_short(a.classes) ? 4 : 0.02 * static_cast<double>(a.classes * item_size(a.dtype));
  return {2, {items, 1, 0}, {static_cast<double>(rows) * row, static_cast<double>(items), 0}, items * 8, 0};
}

void accuracy_run(const Accuracy& a, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte*) {
  int64_t* correct = reinterpret_cast<int64_t*>(workspace);
  if (a.dtype == DType::float32) accuracy_phase<float>(a, phase, first, last, correct);
  else accuracy_phase<double>(a, phase, first, last, correct);
}

}  // namespace

namespace FASTNN_ISA {
void register_loss(KernelTable& table) {
  table.cross_entropy = {cross_entropy_work, cross_entropy_run};
  table.cross_entropy_with_grad = {cross_entropy_work, cross_entropy_run};
  table.mse_loss = {mse_work, mse_run};
  table.mse_loss_with_grad = {mse_work, mse_run};
  table.accuracy = {accuracy_work, accuracy_run};
}
}  // namespace FASTNN_ISA

}  // namespace fastnn
