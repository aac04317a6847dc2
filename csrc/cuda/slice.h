// Copies to and from slices of tables, whose index is read on the device.
#pragma once

#include "cuda/lane.h"
#include "cuda/recording.h"

namespace fastnn::cuda {
namespace {

// By the threads of a grid, in words of so many bytes.
template <class Word>
FASTNN_INLINE void copy_words(const Slice& s) {
  const int64_t words = s.bytes / static_cast<int64_t>(sizeof(Word));
  Word* to = static_cast<Word*>(s.to) + (s.to_index ? *s.to_index * words : 0);
  const Word* from = static_cast<const Word*>(s.from) + (s.from_index ? *s.from_index * words : 0);
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < words; i += int64_t{gridDim.x} * blockDim.x)
    to[i] = from[i];
}

// Calls copy(Word{}) with the widest words that addresses and size allow.
template <class Copy>
constexpr void with_word(const Slice& s, Copy copy) {
  const auto multiple =
      reinterpret_cast<uintptr_t>(s.to) | reinterpret_cast<uintptr_t>(s.from) | static_cast<uintptr_t>(s.bytes);
  if (multiple % 8 == 0) copy(uint64_t{});
  else if (multiple % 4 == 0) copy(uint32_t{});
  else copy(uint8_t{});
}

}  // namespace
}  // namespace fastnn::cuda
