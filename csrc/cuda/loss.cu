// cross_entropy, mse_loss, accuracy: the expressions of cpu/loss.cpp.
//
// Why cross_entropy is fast. Loss and gradient come from one reading of the logits. A batch as small as those of most
// training is done by one block of threads in one launch: the denominator, the rows, the sum of their losses. Larger
// ones take a launch for each. mse_loss reads once for loss and gradient; half a warp takes a block of its fold.
#include "cuda/cross_entropy.h"

namespace fastnn::cuda {
namespace {

// ---- cross_entropy --------------------------------------------------------------------------------------------------

// Workspace: the denominator, then from byte 64 on the losses of the rows.
constexpr int64_t losses_at = 64;
constexpr int small_threads = 512;

bool has_denominator(const CrossEntropy& a) { return a.labels && a.reduction == Reduction::mean; }

// Whether one block of threads does it: sixteen rows at most for each half of a warp, or fewer and wider ones.
bool is_small(const CrossEntropy& a) {
  return a.rows <= 512 && a.rows * ceil_div(a.classes, fold_lanes) <= 16 * small_threads / fold_lanes;
}

template <class T>
FASTNN_KERNEL(256)
denominator_kernel(const __grid_constant__ CrossEntropyCall<T> call, T* out) {
  __shared__ T shared[halves_of_long_row];
  const T result = denominator_of<halves_of_long_row>(call, shared);
  if (threadIdx.x == 0) *out = result;
}

template <class T, int halves, bool plain>
FASTNN_KERNEL(halves == 1 ? row_threads : halves * fold_lanes)
cross_entropy_rows(const __grid_constant__ CrossEntropyCall<T> call) {
  __shared__ T shared[halves];
  const T denominator = call.denominator ? *call.denominator : call.divisor;
  const T of_share = plain ? T{0} : share_of_all<halves>(call, shared);
  each_row<halves>(call.rows,
                   [&](int64_t row) { cross_entropy_row<halves, plain>(call, row, denominator, of_share, shared); });
}

template <class T>
FASTNN_KERNEL(256)
loss_sum(const T* losses, int64_t rows, const T* denominator, T divisor, T* out) {
  __shared__ T shared[halves_of_long_row];
  const T sum = sum_row<halves_of_long_row>(losses, rows, shared);
  if (threadIdx.x == 0) *out = sum / (denominator ? *denominator : divisor);
}

// All of it by one block of threads. `total` is null for the losses of rows.
template <class T, bool plain>
FASTNN_KERNEL(small_threads)
cross_entropy_small(const __grid_constant__ CrossEntropyCall<T> call, bool has_denominator, T* total) {
  T* none = nullptr;
  T denominator = call.divisor;
  if (has_denominator) denominator = denominator_of<1>(call, none);  // by each half for itself
  const T of_share = plain ? T{0} : share_of_all<1>(call, none);
  each_row<1>(call.rows, [&](int64_t row) { cross_entropy_row<1, plain>(call, row, denominator, of_share, none); });
  if (!total) return;
  __syncthreads();
  if (threadIdx.x < fold_lanes) {
    const T sum = sum_row<1>(static_cast<const T*>(call.losses), call.rows, none);
    if (threadIdx.x == 0) *total = sum / denominator;
  }
}

template <class T>
void cross_entropy_as(const CrossEntropy& a, std::byte* workspace) {
  T *shared = reinterpret_cast<T*>(workspace), *room = reinterpret_cast<T*>(workspace + losses_at);
  const bool plain = a.labels && a.label_smoothing == 0, counts = has_denominator(a);
  T* total = a.reduction == Reduction::none ? nullptr : static_cast<T*>(a.loss);
  const CrossEntropyCall<T> call{a.rows,
                                 a.classes,
                                 a.ignore_index,
                                 static_cast<const T*>(a.logits),
                                 a.labels,
                                 static_cast<const T*>(a.probabilities),
                                 static_cast<const T*>(a.weight),
                                 total ? room : static_cast<T*>(a.loss),
                                 static_cast<T*>(a.grad),
                                 counts ? shared : nullptr,
                                 a.reduction == Reduction::mean ? static_cast<T>(a.rows) : T{1},
                                 static_cast<T>(1 - a.label_smoothing),
                                 static_cast<T>(a.label_smoothing / static_cast<double>(a.classes)),
                                 static_cast<T>(a.label_smoothing)};
  constexpr int many = halves_of_long_row;
  const Geometry one{1, many * fold_lanes};
  if (is_small(a)) {
    const Geometry block{1, small_threads};
    return plain ? launch(cross_entropy_small<T, true>, block, call, counts, total)
                 : launch(cross_entropy_small<T, false>, block, call, counts, total);
  }
  if (counts) launch(denominator_kernel<T>, one, call, shared);
  if (is_long(a.classes)) {
    const Geometry teams = geometry_of_teams(a.rows, many);
    if (plain) launch(cross_entropy_rows<T, many, true>, teams, call);
    else launch(cross_entropy_rows<T, many, false>, teams, call);
  } else {
    const Geometry teams = geometry_of_teams(a.rows, 1);
    if (plain) launch(cross_entropy_rows<T, 1, true>, teams, call);
    else launch(cross_entropy_rows<T, 1, false>, teams, call);
  }
  if (total) launch(loss_sum<T>, one, static_cast<const T*>(room), a.rows, call.denominator, call.divisor, total);
}

int64_t cross_entropy_workspace(const CrossEntropy& a) { return losses_at + a.rows * item_size(a.dtype); }

void cross_entropy(const CrossEntropy& a, std::byte* workspace) {
  if (a.dtype == DType::float32) cross_entropy_as<float>(a, workspace);
  else cross_entropy_as<double>(a, workspace);
}

// ---- mse_loss -------------------------------------------------------------------------------------------------------

template <class T>
struct SquaredErrorCall {
  int64_t count;
  const T *prediction, *target;
  T *loss, *grad, *results;  // of elements, or null; of elements, or null; of blocks
  T factor, g, divisor;      // the result of the only block is divided
};

template <class T>
FASTNN_KERNEL(row_threads)
mse_blocks(const __grid_constant__ SquaredErrorCall<T> a) {
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
void mse_as(const SquaredError& a, std::byte* workspace) {
  const int64_t blocks = ceil_div(a.count, fold_block_size);
  const bool none = a.reduction == Reduction::none, mean = a.reduction == Reduction::mean;
  T *results = reinterpret_cast<T*>(workspace), *total = none ? nullptr : static_cast<T*>(a.loss);
  const T divisor = mean ? static_cast<T>(a.count) : T{1};
  const SquaredErrorCall<T> call{a.count,
                                 static_cast<const T*>(a.prediction),
                                 static_cast<const T*>(a.target),
                                 none ? static_cast<T*>(a.loss) : nullptr,
                                 static_cast<T*>(a.grad),
                                 blocks > 1 && !none ? results : total,
                                 a.half ? T(0.5) : T{1},
                                 static_cast<T>((a.half ? 1.0 : 2.0) / (mean ? static_cast<double>(a.count) : 1.0)),
                                 blocks > 1 ? T{1} : divisor};
  if (blocks > 0) launch(mse_blocks<T>, half_warps(blocks), call);
  if (blocks != 1 && total)
    launch(loss_sum<T>, Geometry{1, halves_of_long_row * fold_lanes}, static_cast<const T*>(results), blocks,
           static_cast<const T*>(nullptr), divisor, total);
}

int64_t mse_workspace(const SquaredError& a) { return ceil_div(a.count, fold_block_size) * item_size(a.dtype); }

void mse(const SquaredError& a, std::byte* workspace) {
  if (a.dtype == DType::float32) mse_as<float>(a, workspace);
  else mse_as<double>(a, workspace);
}

// ---- accuracy -------------------------------------------------------------------------------------------------------

// How many of its rows each half of a warp finds right.
template <class T>
FASTNN_KERNEL(row_threads)
correct_rows(const T* logits, const int64_t* labels, int64_t rows, int64_t classes, uint64_t* correct) {
  uint64_t count = 0;
  for (int64_t row = first_half(); row < rows; row += all_halves()) {
    const T* x = logits + row * classes;
    count += find_winner<T, Largest<T>>(0, classes, [=](int64_t i) { return Place<T>{x[i], i}; }) == labels[row];
  }
  if (Team<1>::lane() == 0) correct[first_half()] = count;
}

template <class T>
FASTNN_KERNEL(256)
share_of_correct(const uint64_t* correct, int64_t counts, int64_t rows, T* out) {
  __shared__ uint64_t shared[halves_of_long_row];
  const uint64_t total = sum_row<halves_of_long_row>(correct, counts, shared);
  if (threadIdx.x == 0) *out = static_cast<T>(static_cast<double>(total) / static_cast<double>(rows));
}

int64_t halves_of(const Geometry& g) { return int64_t{g.blocks.x} * g.threads.x / fold_lanes; }

template <class T>
void accuracy_as(const Accuracy& a, std::byte* workspace) {
  const Geometry halves = half_warps(a.rows);
  uint64_t* correct = reinterpret_cast<uint64_t*>(workspace);
  launch(correct_rows<T>, halves, static_cast<const T*>(a.logits), a.labels, a.rows, a.classes, correct);
  launch(share_of_correct<T>, Geometry{1, halves_of_long_row * fold_lanes}, static_cast<const uint64_t*>(correct),
         halves_of(halves), a.rows, static_cast<T*>(a.out));
}

int64_t accuracy_workspace(const Accuracy& a) { return halves_of(half_warps(a.rows)) * 8; }

void accuracy(const Accuracy& a, std::byte* workspace) {
  if (a.dtype == DType::float32) accuracy_as<float>(a, workspace);
  else accuracy_as<double>(a, workspace);
}

}  // namespace

void register_loss(Table<DeviceKernel>& table) {
  table.cross_entropy = {cross_entropy_workspace, cross_entropy};
  table.cross_entropy_with_grad = {cross_entropy_workspace, cross_entropy};
  table.mse_loss = {mse_workspace, mse};
  table.mse_loss_with_grad = {mse_workspace, mse};
  table.accuracy = {accuracy_workspace, accuracy};
}

}  // namespace fastnn::cuda
