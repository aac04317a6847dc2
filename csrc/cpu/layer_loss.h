// The cross-entropy of a product's results, made by the items that make them: its denominator beside the packing, its
// rows while they are in cache, the sum of their losses at the end.
#pragma once

#include "cpu/cross_entropy.h"

namespace fastnn {
namespace {

template <class T>
class LossOfLayer {
 public:
  explicit LossOfLayer(const Product& p) : loss_(*p.loss) {}

  // Bytes in front of the product's own.
  int64_t workspace() const { return ceil_div(workspace_of(loss_), 64) * 64; }
  void begin(std::byte* workspace) const {
    if (has_denominator(loss_)) find_denominator<T>(loss_, workspace);
  }
  void rows(int64_t begin, int64_t end, std::byte* workspace) const {
    cross_entropy_part<T>(loss_, begin, end, workspace);
  }
  void end(std::byte* workspace) const { sum_losses<T>(loss_, workspace); }

 private:
  const CrossEntropy& loss_;
};

// The work of a product with that of its loss: an item of the first phase more, and a last phase.
inline Work with_loss(const Product& p, Work work) {
  const CrossEntropy& loss = *p.loss;
  const double rows = static_cast<double>(loss.rows);
  work.items[0] += 1;
  work.cost[1] += rows * nanoseconds_of_row(loss) / static_cast<double>(at_least(work.items[1], 1));
  if (has_sum(loss)) work.phases = 3, work.items[2] = 1, work.cost[2] = rows * 0.1;
  work.workspace += LossOfLayer<float>(p).workspace();
  return work;
}

}  // namespace
}  // namespace fastnn
