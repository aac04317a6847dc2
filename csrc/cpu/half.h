// float16, which data may rest in, as float32: exact, by integers, and so the same everywhere.
//
// A number becomes itself, subnormal ones too. NaN keeps its sign and its payload and becomes quiet, which is what the
// instructions of x86 and ARM do.
//
// csrc/cuda compiles this header too, with vectors of one lane (cuda/lane.h).
#pragma once

#ifndef FASTNN_ONE_LANE
#include "cpu/vec.h"
#endif

namespace fastnn {
namespace {

struct Half {
  uint16_t bits;
};

// `half` holds the bits of float16: a uint32_t, and Float is float; or vectors of them.
template <class Float, class Bits>
FASTNN_INLINE Float float_of_half(Bits half) {
  const Bits magnitude = (half & 0x7FFF) << 13, sign = (half & 0x8000) << 16;
  const Bits normal = magnitude + (112u << 23);
  // m 2^-24 is the rest of 2^-14 + m 2^-24: no subnormal float32 takes part, which a processor might take for 0.
  const Bits subnormal = bits_as<Bits>(bits_as<Float>(magnitude + (113u << 23)) - 0x1p-14f);
  const Bits special = magnitude + (224u << 23), quiet = special | 1u << 22;
  const Bits infinity = Bits{} + (0x7C00u << 13), smallest = Bits{} + (0x0400u << 13);
  const Bits finite = magnitude < smallest ? subnormal : normal;
  return bits_as<Float>(sign | (magnitude < infinity ? finite : magnitude > infinity ? quiet : special));
}

}  // namespace
}  // namespace fastnn
