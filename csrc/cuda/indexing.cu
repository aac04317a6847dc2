// gather, scatter_add, pick, pick_backward, one_hot: rows and elements found by index, as in cpu/indexing.cpp.
//
// Why it is fast. Threads run along rows, so that a row that was picked is read in whole lines. Sums by index belong to
// whoever owns the row they go to: half of the work is to look through the indices, 32 at a time, but every addition
// meets its element in order, without atomics and without a launch that fills zeros.
#include "cuda/gather.h"
#include "cuda/launch.h"

namespace fastnn::cuda {
namespace {

// Calls use(row, column) for the elements of this thread, in a geometry_of_rows().
template <class Use>
FASTNN_INLINE void each_element(int64_t rows, int64_t width, Use use) {
  const int64_t first = blockIdx.x * int64_t{blockDim.y} + threadIdx.y;
  for (int64_t row = first; row < rows; row += int64_t{gridDim.x} * blockDim.y)
    for (int64_t column = threadIdx.x; column < width; column += blockDim.x) use(row, column);
}

// ---- gather -----------------------------------------------------------------------------------------------------

template <class Unit>
FASTNN_KERNEL(256)
gather_rows(Unit unit, const typename Unit::From* data, int64_t stride, const int64_t* indices, typename Unit::To* out,
            int64_t count, int64_t width) {
  each_element(count, width, [=](int64_t row, int64_t column) {
    out[row * width + column] = unit.of(data[indices[row] * stride + column]);
  });
}

void gather(const Gather& g, std::byte*) {
  if (g.count == 0 || g.width == 0) return;
  const Noting noting(&g);
  auto run = [&]<class Unit>(Unit unit, int64_t stride, int64_t width) {
    launch(gather_rows<Unit>, geometry_of_rows(g.count, width), unit, static_cast<const typename Unit::From*>(g.data),
           stride, g.indices, static_cast<typename Unit::To*>(g.out), g.count, width);
  };
  if (is_copied(g)) with_copied(g, run);
  else if (g.out_dtype == DType::float32) with_divided<float>(g, run);
  else with_divided<double>(g, run);
}

// ---- sums by index ------------------------------------------------------------------------------------------------

// A warp owns 32 columns of a row of out. It looks through the indices, 32 at a time; what meets its row is added in
// the order of the indices. `column_indices` names the column of each number, else they are rows of `width`.
template <class T>
FASTNN_KERNEL(256)
add_by_index(const T* grad, const int64_t* indices, const int64_t* column_indices, T* out, int64_t rows, int64_t width,
             int64_t count) {
  constexpr unsigned everyone = 0xFFFFFFFF;
  const int lane = static_cast<int>(threadIdx.x % warp);
  const int64_t strips = ceil_div(width, warp), items = rows * strips;
  const int64_t first = (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) / warp;
  for (int64_t item = first; item < items; item += int64_t{gridDim.x} * blockDim.x / warp) {
    const int64_t row = item / strips, column = item % strips * warp + lane;
    T sum{0};
    for (int64_t begin = 0; begin < count; begin += warp) {
      const bool meets = begin + lane < count && indices[begin + lane] == row;
      for (unsigned left = __ballot_sync(everyone, meets); left != 0; left &= left - 1) {
        const int64_t i = begin + __ffs(static_cast<int>(left)) - 1;
        if (column_indices ? column_indices[i] == column : column < width)
          sum = sum + grad[column_indices ? i : i * width + column];
      }
    }
    if (column < width) out[row * width + column] = sum;
  }
}

template <class T>
void add(const void* grad, const int64_t* indices, const int64_t* columns, void* out, int64_t rows, int64_t width,
         int64_t count) {
  if (rows == 0 || width == 0) return;
  launch(add_by_index<T>, geometry_of(rows * ceil_div(width, warp) * warp), static_cast<const T*>(grad), indices,
         columns, static_cast<T*>(out), rows, width, count);
}

void scatter_add(const ScatterAdd& s, std::byte*) {
  if (s.dtype == DType::float32) add<float>(s.grad, s.indices, nullptr, s.out, s.rows, s.width, s.count);
  else add<double>(s.grad, s.indices, nullptr, s.out, s.rows, s.width, s.count);
}

void pick_backward(const Pick& p, std::byte*) {
  if (p.dtype == DType::float32) add<float>(p.x, p.row_indices, p.column_indices, p.out, p.rows, p.columns, p.count);
  else add<double>(p.x, p.row_indices, p.column_indices, p.out, p.rows, p.columns, p.count);
}

// ---- pick and one_hot ---------------------------------------------------------------------------------------------

// Elements of any type are moved as bits of their size.
template <class Unit>
FASTNN_KERNEL(256)
pick_elements(const __grid_constant__ Pick p) {
  const Unit* x = static_cast<const Unit*>(p.x);
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < p.count; i += int64_t{gridDim.x} * blockDim.x)
    static_cast<Unit*>(p.out)[i] = x[p.row_indices[i] * p.row + p.column_indices[i] * p.column];
}

void pick(const Pick& p, std::byte*) {
  if (p.count == 0) return;
  const Geometry elements = geometry_of(p.count);
  switch (item_size(p.dtype)) {
    case 1: return launch(pick_elements<uint8_t>, elements, p);
    case 4: return launch(pick_elements<uint32_t>, elements, p);
    default: return launch(pick_elements<uint64_t>, elements, p);
  }
}

template <class T>
FASTNN_KERNEL(256)
one_hot_rows(const __grid_constant__ OneHot o) {
  each_element(o.count, o.classes, [&](int64_t row, int64_t column) {
    static_cast<T*>(o.out)[row * o.classes + column] = o.labels[row] == column ? T{1} : T{0};
  });
}

void one_hot(const OneHot& o, std::byte*) {
  if (o.count == 0) return;
  const Geometry rows = geometry_of_rows(o.count, o.classes);
  if (o.dtype == DType::float32) launch(one_hot_rows<float>, rows, o);
  else if (o.dtype == DType::float64) launch(one_hot_rows<double>, rows, o);
  else launch(one_hot_rows<int64_t>, rows, o);
}

}  // namespace

void register_indexing(Table<DeviceKernel>& table) {
  table.gather = {nullptr, gather};
  table.scatter_add = {nullptr, scatter_add};
  table.pick = {nullptr, pick};
  table.pick_backward = {nullptr, pick_backward};
  table.one_hot = {nullptr, one_hot};
}

}  // namespace fastnn::cuda
