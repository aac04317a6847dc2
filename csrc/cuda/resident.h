// A graph of a small model as one kernel, which runs many steps without leaving its multiprocessor.
#pragma once

#include <memory>

#include "cuda/recording.h"

namespace fastnn::cuda {

class ResidentSteps {
 public:
  virtual ~ResidentSteps() = default;
  virtual void launch(int64_t steps) const = 0;
};

// None where notes are incomplete, name what the kernel does not know, or more memory than a multiprocessor has; or
// where one multiprocessor would take longer than to launch the kernels of the graph.
std::unique_ptr<ResidentSteps> resident_steps(const Recording& recording);

}  // namespace fastnn::cuda
