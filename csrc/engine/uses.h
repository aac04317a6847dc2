// What memory a kernel uses, and whether two may take place in another order or at the same time.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/kernels.h"

namespace fastnn::engine {

// Memory that a kernel reads, or writes as well.
struct Use {
  const std::byte *first, *last;
  bool writes;
};
using Uses = std::vector<Use>;

inline Use use_of(const void* memory, int64_t bytes, bool writes) {
  auto* first = static_cast<const std::byte*>(memory);
  return {first, memory ? first + bytes : first, writes};
}

// Of a matrix that is read: rows and columns of elements, and the strides between them.
inline Use use_of_matrix(const void* data, DType dtype, int64_t rows, int64_t row, int64_t columns, int64_t column) {
  const int64_t along_rows = (rows - 1) * row, along_columns = (columns - 1) * column;
  const int64_t low = std::min<int64_t>(along_rows, 0) + std::min<int64_t>(along_columns, 0);
  const int64_t high = std::max<int64_t>(along_rows, 0) + std::max<int64_t>(along_columns, 0);
  const int64_t size = item_size(dtype);
  return use_of(static_cast<const std::byte*>(data) + low * size, (high - low + 1) * size, false);
}

inline bool are_independent(const Uses& a, const Uses& b) {
  return std::none_of(a.begin(), a.end(), [&](const Use& x) {
    return std::any_of(b.begin(), b.end(),
                       [&](const Use& y) { return (x.writes || y.writes) && x.first < y.last && y.first < x.last; });
  });
}

}  // namespace fastnn::engine
