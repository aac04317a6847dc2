// Layers and their neighbours: rows that are gathered for a product, and the cross-entropy of its results, are made by
// the items of the product itself, where its kernel can. Less memory is passed, and threads meet less often; the bits
// are those of the kernels one by one.
#pragma once

#include <memory>
#include <vector>

#include "engine/node.h"

namespace fastnn::engine {

// The nodes in the order in which they run. Those that became one are replaced by it, which is put into `made`.
std::vector<const Node*> with_layers(const std::vector<std::unique_ptr<Node>>& nodes,
                                     std::vector<std::unique_ptr<Node>>& made);

}  // namespace fastnn::engine
