// Which compilation of the kernels this process runs, chosen once by CPU feature.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace fastnn {

// The table in use: the best the CPU can run, or the one FASTNN_ISA names. ValueError where that is unknown or cannot
// run.
const KernelTable& kernels();

// The compilations in this build that this CPU can run, worst first.
std::vector<std::string> runnable_isas();

}  // namespace fastnn
