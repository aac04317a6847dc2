// What gather does for an element of the data, and in which units.
#pragma once

#include "cuda/expressions.h"

namespace fastnn::cuda {
namespace {

// Units are elements, or several bytes of rows: those of a Unit are copied as they are, four of uint8 become a pack.
template <class Unit>
struct Copied {
  using From = Unit;
  using To = Unit;
  static FASTNN_INLINE Unit of(Unit x) { return x; }
};

template <class X, class T>
struct Divided {
  using From = X;
  using To = T;
  T divisor;
  FASTNN_INLINE T of(X x) const {
    if constexpr (__is_same(X, Half)) return static_cast<T>(float_of_half<float, uint32_t>(x.bits)) / divisor;
    else return static_cast<T>(x) / divisor;
  }
};

template <class T>
struct DividedFours {
  using From = uint32_t;
  using To = Pack<T, 4>;
  T divisor;
  FASTNN_INLINE To of(uint32_t bytes) const {
    To four;
#pragma unroll
    for (int i = 0; i < 4; ++i) four.v[i] = static_cast<T>(bytes >> 8 * i & 0xFF) / divisor;
    return four;
  }
};

constexpr bool is_copied(const Gather& g) { return g.data_dtype == g.out_dtype && g.divisor == 1; }

// Calls use(unit, stride, width), in units: the widest that sizes and addresses allow.
template <class Use>
constexpr void with_copied(const Gather& g, Use use) {
  const int64_t size = item_size(g.data_dtype), width = g.width * size, stride = g.stride * size;
  const uint64_t multiple = static_cast<uint64_t>(width) | static_cast<uint64_t>(stride) |
                            reinterpret_cast<uintptr_t>(g.data) | reinterpret_cast<uintptr_t>(g.out);
  if (multiple % 16 == 0) use(Copied<uint4>{}, stride / 16, width / 16);
  else if (multiple % 8 == 0) use(Copied<uint64_t>{}, stride / 8, width / 8);
  else if (multiple % 4 == 0) use(Copied<uint32_t>{}, stride / 4, width / 4);
  else use(Copied<uint8_t>{}, stride, width);
}

template <class T, class Use>
constexpr void with_divided(const Gather& g, Use use) {
  const T divisor = static_cast<T>(g.divisor);
  const uint64_t multiple =
      static_cast<uint64_t>(g.width) | static_cast<uint64_t>(g.stride) | reinterpret_cast<uintptr_t>(g.data);
  if (g.data_dtype == DType::float16) use(Divided<Half, T>{divisor}, g.stride, g.width);
  else if (g.data_dtype != DType::uint8) use(Divided<T, T>{divisor}, g.stride, g.width);
  else if (multiple % 4 == 0 && reinterpret_cast<uintptr_t>(g.out) % sizeof(Pack<T, 4>) == 0)
    use(DividedFours<T>{divisor}, g.stride / 4, g.width / 4);
  else use(Divided<uint8_t, T>{divisor}, g.stride, g.width);
}

}  // namespace
}  // namespace fastnn::cuda
