// A rule of an optimizer, made by one thread for all of its block: its scalars are read from memory and computed in
// double, which many devices do slowly.
#pragma once

#include <new>

#include "cuda/expressions.h"

namespace fastnn::cuda {
namespace {

template <class Rule, class Arguments>
FASTNN_INLINE const Rule* made_once(const Arguments& arguments) {
  alignas(16) __shared__ std::byte memory[sizeof(Rule)];
  if (threadIdx.x == 0) new (memory) Rule(arguments);
  __syncthreads();
  return reinterpret_cast<const Rule*>(memory);
}

}  // namespace
}  // namespace fastnn::cuda
