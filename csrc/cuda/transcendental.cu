// exp, log and power, element by element: the polynomials of cpu/math.h, compiled for one lane.
//
// Fast because it is one pass over memory (elementwise.h), without a table or a branch that threads would disagree on.
#include "cuda/elementwise.h"

namespace fastnn::cuda {

void register_transcendental(Table<DeviceKernel>& table) {
  table.exp = floating<Exp>();
  table.log = floating<Log>();
  table.power = floating<Power>();
}

}  // namespace fastnn::cuda
