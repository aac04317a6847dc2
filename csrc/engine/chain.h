// A chain: elementwise kernels that follow each other over the same rows, run block by block, so that what one makes is
// still in L1 when the next reads it, and threads meet once. The bits are those of the kernels one by one.
#pragma once

#include <vector>

#include "engine/node.h"

namespace fastnn::engine {

class Chain final : public Node {
 public:
  // Adds `node` at the end, if it is elementwise and rows of all kernels remain independent of each other.
  bool extend(const Node& node);

  Work work() const override;
  void run(int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) const override;

 private:
  struct Link {
    const KernelNode<Elementwise>* node;
    Work work;
  };

  int64_t rows_of_item() const;
  int64_t items() const;

  std::vector<Link> links_;
  int64_t count_ = 0;  // elements of every result
  int64_t width_ = 1;  // elements of a row: 1 where nothing is said of rows
};

}  // namespace fastnn::engine
