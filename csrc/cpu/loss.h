// The parts of cross_entropy (loss.cpp), for a product that makes the logits: the denominator beside its packing, rows
// while they are in cache, the sum of their losses at the end.
#pragma once

#include "kernels/kernels.h"

namespace fastnn {
namespace FASTNN_ISA {

int64_t loss_workspace(const CrossEntropy&);  // bytes, whole cache lines
double nanoseconds_of_row(const CrossEntropy&);
void begin_loss(const CrossEntropy&, std::byte* workspace);
void loss_of_rows(const CrossEntropy&, int64_t begin, int64_t end, std::byte* workspace);
void end_loss(const CrossEntropy&, const std::byte* workspace);

}  // namespace FASTNN_ISA
}  // namespace fastnn
