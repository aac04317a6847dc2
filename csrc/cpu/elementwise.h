// The one driver of all elementwise kernels.
//
// The output is cut into tiles of up to 1024 elements: columns along the innermost axis times rows along the one
// before. An operand is read in place where a tile's elements are adjacent in memory, else gathered into a small
// buffer, and the output likewise. So an operation only ever sees adjacent elements (a `Chunk`), and its bits cannot
// depend on strides. Tiles are as wide as they can be, but 32 x 32 where an array is adjacent along the rows instead (a
// transpose), so that a cache line that was fetched is used up.
//
// Why it is fast. Where all arrays are adjacent, nothing is copied, and an operation is one pass over memory in whole
// vectors; the last vector of a tile is a partial one, not a loop over elements. What is gathered stays in L1 until it
// is used, a broadcast number is spread out once, and an operation is known to the compiler, not called by element.
#pragma once

#include "cpu/vec.h"
#include "kernels/kernels.h"

// For a loop that reads what it overwrites at the same index only: out may be exactly one of the inputs.
#if defined(__clang__)
#define FASTNN_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define FASTNN_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace fastnn {
namespace {

// out[i] = f(in[0][i], in[1][i], in[2][i]) for n adjacent elements.
using Chunk = void (*)(std::byte* out, const std::byte* const* in, int64_t n);

inline constexpr int64_t tile_elements = 1024;
inline constexpr int64_t transposed_side = 32;
inline constexpr int64_t tile_buffer = tile_elements * 8 + vector_bytes;  // rows are filled by whole vectors

// ---- cutting into tiles -----------------------------------------------------------------------------------------

struct Tiling {
  int64_t height, width;    // of a plane: the last two axes
  int64_t rows, columns;    // of a tile
  int64_t down, across;     // tiles of a plane
  int64_t tiles, per_item;  // of all planes, of an item
};

inline bool runs_along_rows(const View& v) {
  if (v.rank < 2) return false;
  int64_t row = v.strides[v.rank - 2], column = v.strides[v.rank - 1];
  return (row == 1 || row == -1) && column != 0 && column != 1 && column != -1;
}

inline Tiling tiling_of(const Elementwise& e, int inputs) {
  const View& out = e.out;
  Tiling t;
  t.width = out.shape[out.rank - 1];
  t.height = out.rank > 1 ? out.shape[out.rank - 2] : 1;
  int64_t planes = 1;
  for (int axis = 0; axis < out.rank - 2; ++axis) planes *= out.shape[axis];
  bool transposed = runs_along_rows(out);
  for (int k = 0; k < inputs; ++k) transposed |= runs_along_rows(e.in[k]);
  t.columns = at_most(t.width, transposed ? transposed_side : tile_elements);
  t.rows = at_most(t.height, transposed ? transposed_side : tile_elements / t.columns);
  t.down = ceil_div(t.height, t.rows);
  t.across = ceil_div(t.width, t.columns);
  t.tiles = planes * t.down * t.across;
  t.per_item = ceil_div(8 * tile_elements, t.rows * t.columns);
  return t;
}

// ---- one tile of one array --------------------------------------------------------------------------------------

template <class T>
FASTNN_INLINE void copy_row(const T* from, T* to, int64_t n) {
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) store<T>(to + i, load(from + i));
  if (i < n) store_partial<T>(to + i, load_partial<T>(from + i, n - i, T{}), n - i);
}

struct Strides {
  int64_t row, column;  // in elements
};

template <class T>
void copy_tile(const T* from, Strides f, T* to, Strides t, int64_t rows, int64_t columns) {
  auto magnitude = [](int64_t x) { return x < 0 ? -x : x; };
  if (f.column == 1 && t.column == 1) {
    for (int64_t r = 0; r < rows; ++r) copy_row(from + r * f.row, to + r * t.row, columns);
  } else if (f.column == 0) {  // into a buffer, whose next row or spare room takes what is too much
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; c += lanes<T>) store<T>(to + r * t.row + c, splat(from[r * f.row]));
  } else if (magnitude(f.column) + magnitude(t.column) <= magnitude(f.row) + magnitude(t.row)) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) to[r * t.row + c * t.column] = from[r * f.row + c * f.column];
  } else {
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = 0; r < rows; ++r) to[r * t.row + c * t.column] = from[r * f.row + c * f.column];
  }
}

// Of one array: where the current plane starts, and the buffer that stands in for a tile that is not adjacent.
struct Operand {
  const View* view;
  std::byte* buffer;
  std::byte* plane;
  int64_t size;
  Strides strides;
  bool constant;  // one element, broadcast: the buffer is filled once

  void start(const View& v, std::byte* b) {
    view = &v;
    buffer = b;
    size = item_size(v.dtype);
    strides = {v.rank > 1 ? v.strides[v.rank - 2] : 0, v.strides[v.rank - 1]};
    constant = true;
    for (int axis = 0; axis < v.rank; ++axis) constant &= v.strides[axis] == 0;
    plane = v.data;
    if (constant) gather(v.data, 1, tile_elements);
  }

  void enter(int64_t number) {
    int64_t offset = 0;
    for (int axis = view->rank - 3; axis >= 0; --axis) {
      offset += number % view->shape[axis] * view->strides[axis];
      number /= view->shape[axis];
    }
    plane = view->data + offset * size;
  }

  std::byte* at(int64_t row, int64_t column) const {
    return plane + (row * strides.row + column * strides.column) * size;
  }
  bool adjacent(int64_t rows, int64_t columns) const {
    return strides.column == 1 && (rows == 1 || strides.row == columns);
  }

  template <class T>
  void gather_as(const std::byte* from, int64_t rows, int64_t columns) const {
    copy_tile(reinterpret_cast<const T*>(from), strides, reinterpret_cast<T*>(buffer), {columns, 1}, rows, columns);
  }
  template <class T>
  void scatter_as(std::byte* to, int64_t rows, int64_t columns) const {
    copy_tile(reinterpret_cast<const T*>(buffer), {columns, 1}, reinterpret_cast<T*>(to), strides, rows, columns);
  }
  void gather(const std::byte* from, int64_t rows, int64_t columns) const {
    if (size == 1) gather_as<uint8_t>(from, rows, columns);
    else if (size == 2) gather_as<uint16_t>(from, rows, columns);
    else if (size == 4) gather_as<uint32_t>(from, rows, columns);
    else gather_as<uint64_t>(from, rows, columns);
  }
  void scatter(std::byte* to, int64_t rows, int64_t columns) const {
    if (size == 1) scatter_as<uint8_t>(to, rows, columns);
    else if (size == 2) scatter_as<uint16_t>(to, rows, columns);
    else if (size == 4) scatter_as<uint32_t>(to, rows, columns);
    else scatter_as<uint64_t>(to, rows, columns);
  }
};

// ---- the driver ---------------------------------------------------------------------------------------------------

inline void run_tiles(const Elementwise& e, int inputs, Chunk chunk, int64_t first_item, int64_t last_item) {
  alignas(64) std::byte buffers[4][tile_buffer];
  const Tiling t = tiling_of(e, inputs);
  int64_t tile = first_item * t.per_item, last = at_most(last_item * t.per_item, t.tiles);

  Operand in[3], out;
  for (int k = 0; k < inputs; ++k) in[k].start(e.in[k], buffers[k]);
  out.start(e.out, buffers[3]);
  int64_t plane = tile / (t.down * t.across);
  int64_t row = tile / t.across % t.down * t.rows, column = tile % t.across * t.columns;
  for (bool entered = false; tile < last; ++tile) {
    if (!entered) {
      for (int k = 0; k < inputs; ++k) in[k].enter(plane);
      out.enter(plane);
      entered = true;
    }
    int64_t rows = at_most(t.rows, t.height - row), columns = at_most(t.columns, t.width - column);
    const std::byte* from[3] = {};
    for (int k = 0; k < inputs; ++k) {
      std::byte* there = in[k].at(row, column);
      bool in_place = !in[k].constant && in[k].adjacent(rows, columns);
      if (!in_place && !in[k].constant) in[k].gather(there, rows, columns);
      from[k] = in_place ? there : in[k].buffer;
    }
    std::byte* there = out.at(row, column);
    bool in_place = out.adjacent(rows, columns);
    chunk(in_place ? there : out.buffer, from, rows * columns);
    if (!in_place) out.scatter(there, rows, columns);

    if ((column += t.columns) < t.width) continue;
    column = 0;
    if ((row += t.rows) < t.height) continue;
    row = 0;
    ++plane;
    entered = false;
  }
}

// The kernel of an operation, which says its number of `inputs`, roughly the `picoseconds` an element takes on one
// core, and by `choose` the chunk for the dtypes at hand.
template <class Operation>
Kernel<Elementwise> elementwise() {
  return {[](const Elementwise& e) -> Work {
            const Tiling t = tiling_of(e, Operation::inputs);
            double nanoseconds = Operation::picoseconds * 1e-3 * static_cast<double>(t.per_item * t.rows * t.columns);
            return {1, {ceil_div(t.tiles, t.per_item)}, {nanoseconds}, 0, 0};
          },
          [](const Elementwise& e, int, int64_t first, int64_t last, std::byte*, std::byte*) {
            run_tiles(e, Operation::inputs, Operation::choose(e), first, last);
          }};
}

// ---- chunks of operations on vectors of one type --------------------------------------------------------------------

template <class Operation, class T>
void map_chunk(std::byte* out, const std::byte* const* in, int64_t n) {
  T* to = reinterpret_cast<T*>(out);
  const T* a = reinterpret_cast<const T*>(in[0]);
  const T* b = reinterpret_cast<const T*>(in[1]);
  auto step = [=](int64_t i, auto count) {
    if constexpr (Operation::inputs == 1) {
      store<T>(to + i, Operation::template of<T>(load(a + i, count, T{1})), count);
    } else {
      store<T>(to + i, Operation::template of<T>(load(a + i, count, T{1}), load(b + i, count, T{1})), count);
    }
  };
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) step(i, All{});
  if (i < n) step(i, n - i);
}

template <class Operation, int count, int cost = 200>
struct Floating {
  static constexpr int inputs = count, picoseconds = cost;
  static Chunk choose(const Elementwise& e) {
    return e.in[0].dtype == DType::float32 ? map_chunk<Operation, float> : map_chunk<Operation, double>;
  }
};

template <class Operation, int count, int cost = 200>
struct Numeric {
  static constexpr int inputs = count, picoseconds = cost;
  static Chunk choose(const Elementwise& e) {
    return e.in[0].dtype == DType::int64 ? map_chunk<Operation, int64_t> : Floating<Operation, count>::choose(e);
  }
};

}  // namespace
}  // namespace fastnn
