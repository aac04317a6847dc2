// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
// A number depends on where it stands and on nothing drawn before it. Word number i of a call is word i % 4 of block
// i / 4. The key is the seed; the counter of a block is
//   { block, ordinal of the call within its step, step, purpose (8 bits) | high 12 of step | high 12 of block },
// so that blocks and steps count to 2^44.
// Everything is a template or a constant: per-instruction-set objects include this and may share no code.
#pragma once

#include <cstdint>

namespace fastnn {

// What a number is for; part of its counter, so that streams of one seed never meet.
enum Purpose : uint32_t {
  purpose_user = 0,
  purpose_init = 1,
  purpose_dropout = 2,
  purpose_shuffle = 3,
  purpose_data = 4
};

// All that a number depends on except its position.
struct Stream {
  uint64_t seed, step;
  uint32_t ordinal, purpose;
};

template <class U>
struct PhiloxWords {
  U word[4];
};

// U is uint64_t or a vector of them: one block in each lane. `multiply(u, c)` is the 64-bit product of the low 32 bits
// of u and the constant c. The words are the low 32 bits of the result; what stands above them is unspecified.
template <class U, class Multiply>
[[gnu::always_inline]] static constexpr PhiloxWords<U> philox(const Stream& stream, U block, Multiply multiply) {
  constexpr uint64_t low = 0xFFFFFFFF;
  U c0 = block;
  U c1 = U{} + uint64_t{stream.ordinal};
  U c2 = U{} + (stream.step & low);
  U c3 = ((block >> 32 & uint64_t{0xFFF}) << 20) | ((stream.purpose & 0xFF) | (stream.step >> 32 & 0xFFF) << 8);
  uint64_t k0 = stream.seed & low, k1 = stream.seed >> 32;
  for (int round = 0; round < 10; ++round) {
    U p0 = multiply(c0, uint64_t{0xD2511F53}), p1 = multiply(c2, uint64_t{0xCD9E8D57});
    c0 = (p1 >> 32) ^ (c1 ^ k0);
    c1 = p1;
    c2 = (p0 >> 32) ^ (c3 ^ k1);
    c3 = p0;
    k0 = (k0 + 0x9E3779B9) & low;
    k1 = (k1 + 0xBB67AE85) & low;
  }
  return {{c0, c1, c2, c3}};
}

}  // namespace fastnn
