// A view: where an array's elements are and how to walk them. It owns nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastnn {

// float16 is data at rest: gather makes float32 or float64 of it, copies move it, and nothing else takes it.
enum class DType : uint8_t { float32, float64, int64, int32, uint8, boolean, float16 };

inline constexpr int max_rank = 8;

constexpr int64_t item_size(DType dtype) {
  switch (dtype) {
    case DType::float32:
    case DType::int32: return 4;
    case DType::float64:
    case DType::int64: return 8;
    case DType::uint8:
    case DType::boolean: return 1;
    case DType::float16: return 2;
  }
  return 0;
}

// Whether there is arithmetic of it, with a fraction.
constexpr bool is_floating(DType dtype) { return dtype == DType::float32 || dtype == DType::float64; }

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    case DType::int64: return "int64";
    case DType::int32: return "int32";
    case DType::uint8: return "uint8";
    case DType::boolean: return "bool";
    case DType::float16: return "float16";
  }
  return "?";
}

// Plain data, so that per-instruction-set objects may use it without emitting shared inline code.
struct View {
  std::byte* data;
  DType dtype;
  int rank;
  int64_t shape[max_rank];
  int64_t strides[max_rank];  // in elements; 0 where an axis is broadcast
};

}  // namespace fastnn
