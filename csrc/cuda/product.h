// How the product goes about its shape: plain arithmetic of the host, so that it can be tested without a device.
#pragma once

#include "kernels/kernels.h"

namespace fastnn::cuda {

// A block of threads makes rows x columns elements of c. Each thread of a group sums up a rectangle of them; groups do
// different chunks of K at a time, whose sums are merged in order.
struct Tile {
  int rows, columns, thread_rows, thread_columns, groups;

  constexpr int group_threads() const { return rows / thread_rows * (columns / thread_columns); }
  constexpr int threads() const { return groups * group_threads(); }
  // Merged sums stay in registers; else in shared memory, which cannot hold so many.
  constexpr bool in_registers() const { return rows * columns > 4096; }
};

// From large to small. The larger a tile, the less often an operand is read; the smaller, the more blocks there are to
// share the work.
inline constexpr Tile float_tiles[] = {{128, 128, 8, 8, 1}, {64, 64, 4, 4, 1}, {32, 32, 2, 2, 1},
                                       {16, 32, 2, 4, 4},   {16, 16, 2, 2, 4}, {16, 16, 1, 1, 1}};
inline constexpr Tile double_tiles[] = {
    {64, 32, 4, 2, 1}, {32, 32, 2, 2, 1}, {16, 32, 2, 4, 4}, {16, 16, 2, 2, 4}, {16, 16, 1, 1, 1}};

// Of the kernel that keeps a training step on one multiprocessor, and makes one tile after the other.
inline constexpr Tile resident_tiles[] = {{64, 64, 4, 4, 1}, {64, 16, 2, 2, 1}, {16, 64, 2, 2, 1}, {16, 16, 1, 1, 1}};

constexpr int64_t blocks_of(const Tile& tile, int64_t m, int64_t n) {
  return ((m + tile.rows - 1) / tile.rows) * ((n + tile.columns - 1) / tile.columns);
}

// The number of the largest tile of which every multiprocessor gets one and that is more than half full on either side;
// else of the smallest. Of small tiles, those with groups are for several chunks, the others for one.
template <int count>
constexpr int choose_tile(const Tile (&tiles)[count], int64_t m, int64_t n, int64_t k, int multiprocessors) {
  int smallest = 0;
  for (int i = 0; i < count; ++i) {
    const Tile& tile = tiles[i];
    const bool is_small = tile.rows < 64, has_groups = tile.groups > 1;
    if (is_small && has_groups != (k > product_chunk)) continue;
    const bool fits = 2 * m > tile.rows && 2 * n > tile.columns;
    if (fits && blocks_of(tile, m, n) >= multiprocessors) return i;
    smallest = i;
  }
  return smallest;
}

// The number of the tile by which a product is made soonest. What limits it are loads from shared memory: one of a
// thread's takes as long as four multiply-adds.
constexpr int choose_resident_tile(int64_t m, int64_t n) {
  int best = 0;
  int64_t least = INT64_MAX;
  for (int i = 0; i < static_cast<int>(sizeof(resident_tiles) / sizeof(Tile)); ++i) {
    const Tile& t = resident_tiles[i];
    const int64_t multiplied = t.thread_rows * t.thread_columns, loaded = t.thread_rows + t.thread_columns;
    const int64_t cost = blocks_of(t, m, n) * (multiplied + 4 * loaded);
    if (cost < least) best = i, least = cost;
  }
  return best;
}

}  // namespace fastnn::cuda
