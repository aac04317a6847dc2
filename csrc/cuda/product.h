// How the product goes about its shape: plain arithmetic of the host, so that it can be tested without a device.
#pragma once

#include <cstdint>

namespace fastnn::cuda {

// A block of threads makes rows x columns elements of c, each thread a rectangle of them.
struct Tile {
  int rows, columns, thread_rows, thread_columns;

  constexpr int across() const { return columns / thread_columns; }
  constexpr int threads() const { return rows / thread_rows * across(); }
};

// From large to small. The larger a tile, the less often an operand is read; the smaller, the more blocks there are to
// share the work.
inline constexpr Tile float_tiles[] = {{128, 128, 8, 8}, {64, 64, 4, 4}, {32, 32, 2, 2}, {16, 16, 1, 1}};
inline constexpr Tile double_tiles[] = {{64, 64, 4, 4}, {32, 32, 2, 2}, {16, 16, 1, 1}};

constexpr int64_t blocks_of(const Tile& tile, int64_t m, int64_t n) {
  return ((m + tile.rows - 1) / tile.rows) * ((n + tile.columns - 1) / tile.columns);
}

// The number of the largest tile of which every multiprocessor gets one and that is half full at least on either side;
// else the smallest.
template <int count>
constexpr int choose_tile(const Tile (&tiles)[count], int64_t m, int64_t n, int multiprocessors) {
  for (int i = 0; i + 1 < count; ++i) {
    const bool fits = 2 * m > tiles[i].rows && 2 * n > tiles[i].columns;
    if (fits && blocks_of(tiles[i], m, n) >= multiprocessors) return i;
  }
  return count - 1;
}

}  // namespace fastnn::cuda
