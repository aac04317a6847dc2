// cross_entropy, mse_loss, accuracy: the expressions of cpu/loss.cpp.
//
// Why cross_entropy is fast. Loss and gradient come from one reading of the logits. A batch as small as those of most
// training is done by one block of threads in one launch: the denominator, the rows, the sum of their losses. Larger
// ones take a launch for each. mse_loss reads once for loss and gradient; half a warp takes a block of its fold.
#include "cuda/cross_entropy.h"
#include "cuda/squared_error.h"

namespace fastnn::cuda {
namespace {

// ---- cross_entropy --------------------------------------------------------------------------------------------------

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

template <class T, bool plain>
FASTNN_KERNEL(small_threads)
cross_entropy_small(const __grid_constant__ CrossEntropyCall<T> call) {
  cross_entropy_in_block<plain>(call);
}

template <class T>
void cross_entropy_as(const CrossEntropy& a, std::byte* workspace) {
  const CrossEntropyCall<T> call = call_of<T>(a, workspace);
  constexpr int many = halves_of_long_row;
  const Geometry one{1, many * fold_lanes};
  if (is_small(a)) {
    const Geometry block{1, small_threads};
    return call.is_plain ? launch(cross_entropy_small<T, true>, block, call)
                         : launch(cross_entropy_small<T, false>, block, call);
  }
  if (call.denominator) launch(denominator_kernel<T>, one, call, reinterpret_cast<T*>(workspace));
  if (is_long(a.classes)) {
    const Geometry teams = geometry_of_teams(a.rows, many);
    if (call.is_plain) launch(cross_entropy_rows<T, many, true>, teams, call);
    else launch(cross_entropy_rows<T, many, false>, teams, call);
  } else {
    const Geometry teams = geometry_of_teams(a.rows, 1);
    if (call.is_plain) launch(cross_entropy_rows<T, 1, true>, teams, call);
    else launch(cross_entropy_rows<T, 1, false>, teams, call);
  }
  if (call.total)
    launch(loss_sum<T>, one, static_cast<const T*>(call.losses), a.rows, call.denominator, call.divisor, call.total);
}

int64_t cross_entropy_workspace(const CrossEntropy& a) { return losses_at + a.rows * item_size(a.dtype); }

void cross_entropy(const CrossEntropy& a, std::byte* workspace) {
  const RowLosses losses{a, workspace};
  const Noting noting(&losses);
  if (a.dtype == DType::float32) cross_entropy_as<float>(a, workspace);
  else cross_entropy_as<double>(a, workspace);
}

// ---- mse_loss -------------------------------------------------------------------------------------------------------

template <class T>
FASTNN_KERNEL(row_threads)
mse_kernel(const __grid_constant__ SquaredErrorCall<T> call) {
  mse_blocks(call);
}

template <class T>
void mse_as(const SquaredError& a, std::byte* workspace) {
  const int64_t blocks = ceil_div(a.count, fold_block_size);
  const SquaredErrorCall<T> call = call_of<T>(a, workspace);
  if (blocks > 0) launch(mse_kernel<T>, half_warps(blocks), call);
  if (blocks != 1 && a.reduction != Reduction::none)
    launch(loss_sum<T>, Geometry{1, halves_of_long_row * fold_lanes}, reinterpret_cast<const T*>(workspace), blocks,
           static_cast<const T*>(nullptr), divisor_of<T>(a), static_cast<T*>(a.loss));
}

int64_t mse_workspace(const SquaredError& a) { return ceil_div(a.count, fold_block_size) * item_size(a.dtype); }

void mse(const SquaredError& a, std::byte* workspace) {
  const Noting noting(&a);
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
