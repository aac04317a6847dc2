// Types and sizes that kernels of both sides are written with: nothing here depends on a vector's width.
#pragma once

#include <cstdint>

namespace fastnn {
namespace {

// The integers of the same width: lanes of comparisons, bits of floating-point numbers.
template <int bytes>
struct IntegerOf;
template <>
struct IntegerOf<4> {
  using type = int32_t;
  using unsigned_type = uint32_t;
};
template <>
struct IntegerOf<8> {
  using type = int64_t;
  using unsigned_type = uint64_t;
};
template <class T>
using Int = typename IntegerOf<sizeof(T)>::type;
template <class T>
using Unsigned = typename IntegerOf<sizeof(T)>::unsigned_type;

// Overflow of int64 is defined for the unsigned twin only.
template <class T>
struct WrappingOf {
  using type = T;
};
template <>
struct WrappingOf<int64_t> {
  using type = uint64_t;
};
template <class T>
using Wrapping = typename WrappingOf<T>::type;

template <class T>
inline constexpr bool is_integer = T(0.5) == T(0);
template <class T>
inline constexpr Unsigned<T> sign_bit = Unsigned<T>{1} << (8 * sizeof(T) - 1);

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace
}  // namespace fastnn
