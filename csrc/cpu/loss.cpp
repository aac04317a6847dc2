// cross_entropy, mse_loss, accuracy. A loss and its gradient come from one pass; without grad only the loss is made.
//
// cross_entropy  the rows are in cross_entropy.h; the result is the sum of their losses, divided by the denominator
// mse_loss       d = prediction - target: the loss is d d, or (d d) 0.5 with half; mean divides the sum by the count;
//                grad d g with g = 2 / count, or 1 / count with half (the count is 1 unless mean), rounded once
// accuracy       rows whose first largest logit (NaN is the largest) stands at the label, divided by the rows in double
//
// Sums are the sixteen-lane folds of reduce.h. Why mse_loss is fast: an item is a block of that fold, read once for
// loss and gradient. Why accuracy is fast: lanes are rows for few classes; for many no position is sought, only whether
// a logit beats the label's.
#include "cpu/cross_entropy.h"

namespace fastnn {
namespace {

// ---- cross_entropy ----------------------------------------------------------------------------------------------

template <class T>
void cross_entropy_phase(const CrossEntropy& a, int phase, int64_t first, int64_t last, std::byte* workspace) {
  const int64_t rows = rows_of_item(a.classes);
  switch (phase + !has_denominator(a)) {
    case 0: return find_denominator<T>(a, workspace);
    case 1: return cross_entropy_part<T>(a, first * rows, at_most(last * rows, a.rows), workspace);
    default: return sum_losses<T>(a, workspace);
  }
}

Work cross_entropy_work(const CrossEntropy& a) {
  const int64_t rows = rows_of_item(a.classes);
  const double n = static_cast<double>(a.rows), item = static_cast<double>(rows);
  Work work{0, {}, {}, workspace_of(a), 0};
  auto add = [&](int64_t items, double cost) {
    work.items[work.phases] = items;
    work.cost[work.phases++] = cost;
  };
  if (has_denominator(a)) add(1, n * (a.weight ? 2 : 0.3));
  add(ceil_div(a.rows, rows), item * nanoseconds_of_row(a));
  if (has_sum(a)) add(1, n * 0.1);
  return work;
}

void cross_entropy_run(const CrossEntropy& a, int phase, int64_t first, int64_t last, std::byte* workspace,
                       std::byte*) {
  if (a.dtype == DType::float32) cross_entropy_phase<float>(a, phase, first, last, workspace);
  else cross_entropy_phase<double>(a, phase, first, last, workspace);
}

// ---- mse_loss ---------------------------------------------------------------------------------------------------

// An item is a block of the fold. Its result stands in the workspace until all are folded.
template <class T>
void mse_blocks(const SquaredError& a, int64_t first, int64_t last, T* results) {
  const T *prediction = static_cast<const T*>(a.prediction), *target = static_cast<const T*>(a.target);
  T *grad = static_cast<T*>(a.grad), *loss = a.reduction == Reduction::none ? static_cast<T*>(a.loss) : nullptr;
  const T factor = a.half ? T(0.5) : T{1};
  const T g =
      static_cast<T>((a.half ? 1.0 : 2.0) / (a.reduction == Reduction::mean ? static_cast<double>(a.count) : 1.0));
  for (int64_t block = first; block < last; ++block) {
    const int64_t begin = block * fold_block_size;
    results[block] =
        fold_block<T, Sum<T>>(begin, at_most(begin + fold_block_size, a.count), [=](int64_t i, auto count) {
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
  auto group = [&](const T* x, T*, int64_t columns, int64_t row, int64_t count) __attribute__((always_inline)) {
    const Columns<T> column = load_columns(x, columns);
    Vec<T> best = column.v[0];
    Vec<Int<T>> place{};
    for (int c = 1; c < columns; ++c) {
      const Vec<Int<T>> better = (column.v[c] > best) | (is_nan<T>(column.v[c]) & ~is_nan<T>(best));
      best = better ? column.v[c] : best;
      place = better ? splat(static_cast<Int<T>>(c)) : place;
    }
    wrong += (place != load_labels<T>(labels + row, count, -1)) & first_lanes<T>(count);
  };
  each_group(classes, logits, static_cast<T*>(nullptr), rows, group);
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
    each_vector<T>(classes - label,
                   [&](int64_t i, auto count) { beaten |= ~(load(x + label + i, count, x[label]) <= logit); });
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
    if (is_short(a.classes)) {
      correct[item] = correct_short_rows(logits, labels, rows, a.classes);
    } else {
      correct[item] = 0;
      for (int64_t r = 0; r < rows; ++r)
        correct[item] += is_first_largest(logits + r * a.classes, labels[r], a.classes);
    }
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
