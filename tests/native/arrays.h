// Arrays for native tests, and what they are filled with: numbers made of integers, so that no function of a C library
// has a say in them.
#pragma once

#include <cmath>
#include <vector>

#include "array/philox.h"
#include "eager/eager.h"

namespace fastnn::testing {

inline constexpr DType f32 = DType::float32, f64 = DType::float64, i64 = DType::int64, i32 = DType::int32,
                       u8 = DType::uint8, boolean = DType::boolean, f16 = DType::float16;
using Shape = std::vector<int64_t>;

inline int64_t count(const Shape& shape) {
  int64_t product = 1;
  for (int64_t side : shape) product *= side;
  return product;
}

// Contiguous memory and a view of it.
struct Array {
  std::vector<std::byte> memory;
  View view{};

  Array() = default;
  Array(DType dtype, const Shape& shape) : memory(static_cast<size_t>(count(shape) * item_size(dtype)) + 1) {
    view = contiguous_view(memory.data(), dtype, static_cast<int>(shape.size()), shape.data());
  }
  Array(Array&&) = default;
  Array& operator=(Array&&) = default;

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(view.data);
  }
  // Seen with its two axes swapped.
  Array turned() && {
    std::swap(view.shape[0], view.shape[1]);
    std::swap(view.strides[0], view.strides[1]);
    return std::move(*this);
  }
  Argument named(const char* name) const { return {view, name}; }
  Integers integers(const char* name) const { return {view.data, 8, true, count_of(view), 8, name}; }
};

struct Into : Output {
  View own;
  explicit Into(View view) : own(view) { given = true; }
  View place(const Call&, DType, int, const int64_t*) override { return own; }
};

struct Fresh : Output {
  Array array;
  View place(const Call&, DType dtype, int rank, const int64_t* shape) override {
    array = Array(dtype, Shape(shape, shape + rank));
    return array.view;
  }
};

// Splitmix64 (Steele, Lea and Flood, 2014).
struct Source {
  uint64_t state;

  uint64_t bits() {
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() >> 1) % n; }

  // As many bits as T holds, in [-4, 4).
  template <class T>
  T number() {
    constexpr int digits = sizeof(T) == 4 ? 24 : 53;
    return static_cast<T>(static_cast<int64_t>(bits()) >> (64 - digits)) / static_cast<T>(int64_t{1} << (digits - 3));
  }

  template <class T>
  Array numbers_as(DType dtype, const Shape& shape) {
    Array array(dtype, shape);
    for (int64_t i = 0, n = count(shape); i < n; ++i) {
      if constexpr (sizeof(T) == 1) array.as<T>()[i] = static_cast<T>(dtype == boolean ? below(2) : bits());
      else if constexpr (T(0.5) == T(0)) array.as<T>()[i] = static_cast<T>(bits());
      else array.as<T>()[i] = number<T>();
    }
    return array;
  }
  Array numbers(DType dtype, const Shape& shape) {
    switch (dtype) {
      case f32: return numbers_as<float>(dtype, shape);
      case f64: return numbers_as<double>(dtype, shape);
      case i64: return numbers_as<int64_t>(dtype, shape);
      case i32: return numbers_as<int32_t>(dtype, shape);
      case f16: return numbers_as<uint16_t>(dtype, shape);  // of any kind: NaN, infinities, subnormal ones
      default: return numbers_as<uint8_t>(dtype, shape);
    }
  }
  // From 0 on, so that a variance or a probability may stand there.
  Array magnitudes(DType dtype, const Shape& shape) {
    Array array = numbers(dtype, shape);
    for (int64_t i = 0, n = count(shape); i < n; ++i) {
      if (dtype == f32) array.as<float>()[i] = std::abs(array.as<float>()[i]);
      if (dtype == f64) array.as<double>()[i] = std::abs(array.as<double>()[i]);
    }
    return array;
  }
  // Of all magnitudes; zeros, infinities, NaN and subnormal numbers among them.
  Array anything(DType dtype, const Shape& shape) {
    constexpr double specials[] = {0.0,
                                   -0.0,
                                   1.0,
                                   -1.0,
                                   __builtin_inf(),
                                   -__builtin_inf(),
                                   __builtin_nan(""),
                                   0.5,
                                   2.0,
                                   0x1p40,
                                   89.0,
                                   -104.0,
                                   710.0,
                                   -746.0,
                                   3e38,
                                   1e-39,
                                   -1e-39,
                                   1e-45,
                                   5e-324};
    Array array = numbers(dtype, shape);
    for (int64_t i = 0, n = count(shape); i < n && is_floating(dtype); ++i) {
      uint64_t draw = bits() % 64;
      double factor = draw < 48 ? 1 : static_cast<double>(int64_t{1} << draw % 16) / 64;
      if (dtype == f32) array.as<float>()[i] *= static_cast<float>(factor);
      else array.as<double>()[i] *= factor;
      if (draw >= std::size(specials)) continue;
      if (dtype == f32) array.as<float>()[i] = static_cast<float>(specials[draw]);
      else array.as<double>()[i] = specials[draw];
    }
    return array;
  }
  Array labels(int64_t n, int64_t classes) {
    Array array(i64, {n});
    for (int64_t i = 0; i < n; ++i) array.as<int64_t>()[i] = below(classes);
    return array;
  }
};

}  // namespace fastnn::testing
