// sum, mean, max, min, argmax and argmin of x (outer, extent, inner) over its middle axis: the expressions of
// cpu/reduction.cpp.
//
// inner = 1: half a warp takes a row (reduce.h). Rows of several blocks of 4096 take two launches: first the blocks,
// then their results. inner > 1: a thread takes a column, or 256 rows of it where there are more, whose results are
// combined in order by a second launch.
//
// Why it is fast. x is read once, and neighbours read neighbours. A thread has several loads under way, because what it
// adds them to is in a register.
#include "cuda/fold.h"
#include "cuda/launch.h"

namespace fastnn::cuda {
namespace {

int64_t parts_of(const Reduce& r) { return ceil_div(r.extent, r.inner > 1 ? chunk_rows : fold_block_size); }

// ---- sum, mean, max, min ------------------------------------------------------------------------------------------

template <class X, class T, class Combine>
FASTNN_KERNEL(row_threads)
rows_kernel(const X* x, T* out, int64_t rows, int64_t n, int64_t parts, T divisor) {
  fold_rows<X, T, Combine>(x, out, rows, n, parts, divisor);
}

template <class X, class T, class Combine>
FASTNN_KERNEL(256)
columns_kernel(const X* x, T* out, int64_t outer, int64_t extent, int64_t inner, int64_t chunk, T divisor) {
  fold_columns<X, T, Combine>(x, out, outer, extent, inner, chunk, divisor);
}

template <class T>
FASTNN_KERNEL(256)
fill_zero(T* out, int64_t count) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x)
    out[i] = T{0};
}

template <class X, class T, class Combine, bool is_mean>
void fold(const Reduce& r, std::byte* workspace) {
  const X* x = static_cast<const X*>(r.x);
  T *out = static_cast<T*>(r.out), *results = reinterpret_cast<T*>(workspace);
  const int64_t parts = parts_of(r), count = r.outer * r.inner;
  const T divisor = is_mean ? static_cast<T>(r.extent) : T{0};
  if (r.extent == 0) {
    launch(fill_zero<T>, geometry_of(count), out, count);
  } else if (r.inner > 1) {
    const Geometry all = geometry_of(count * parts);
    if (parts == 1)
      return launch(columns_kernel<X, T, Combine>, all, x, out, r.outer, r.extent, r.inner, chunk_rows, divisor);
    launch(columns_kernel<X, T, Combine>, all, x, results, r.outer, r.extent, r.inner, chunk_rows, T{0});
    launch(columns_kernel<T, T, Combine>, geometry_of(count), static_cast<const T*>(results), out, r.outer, parts,
           r.inner, parts, divisor);
  } else {
    if (parts == 1)
      return launch(rows_kernel<X, T, Combine>, half_warps(count), x, out, count, r.extent, int64_t{1}, divisor);
    launch(rows_kernel<X, T, Combine>, half_warps(count * parts), x, results, count, r.extent, parts, T{0});
    launch(rows_kernel<T, T, Combine>, half_warps(count), static_cast<const T*>(results), out, count, parts, int64_t{1},
           divisor);
  }
}

// Of the results of parts; none where one launch does all.
int64_t fold_workspace(const Reduce& r) {
  const int64_t parts = parts_of(r);
  return parts > 1 ? r.outer * parts * r.inner * 8 : 0;
}

using Run = void (*)(const Reduce&, std::byte* workspace);

template <class T, template <class> class Combine>
constexpr Run fold_same = fold<T, T, Combine<T>, false>;

// int64 wraps around, which is defined for its unsigned twin only.
void sum(const Reduce& r, std::byte* workspace) {
  const Sums sums{r, false};
  const Noting noting(&sums);
  switch (r.x_dtype) {
    case DType::float32: return fold_same<float, Sum>(r, workspace);
    case DType::float64: return fold_same<double, Sum>(r, workspace);
    case DType::int64: return fold_same<uint64_t, Sum>(r, workspace);
    default: return fold<uint8_t, uint64_t, Sum<uint64_t>, false>(r, workspace);
  }
}

void mean(const Reduce& r, std::byte* workspace) {
  const Sums sums{r, true};
  const Noting noting(&sums);
  if (r.x_dtype == DType::float32) fold<float, float, Sum<float>, true>(r, workspace);
  else fold<double, double, Sum<double>, true>(r, workspace);
}

template <template <class> class Combine>
void extreme(const Reduce& r, std::byte* workspace) {
  switch (r.x_dtype) {
    case DType::float32: return fold_same<float, Combine>(r, workspace);
    case DType::float64: return fold_same<double, Combine>(r, workspace);
    default: return fold_same<int64_t, Combine>(r, workspace);
  }
}

// ---- argmax, argmin -----------------------------------------------------------------------------------------------

// Rows of n elements in parts of a block, whose winner's index is written. With `of`, the elements are those at the
// indices of parts found before: x is (rows, of_n) and they are n of each row.
template <class T, class Combine>
FASTNN_KERNEL(row_threads)
find_in_rows(const T* x, const int64_t* of, int64_t of_n, int64_t* out, int64_t rows, int64_t n, int64_t parts) {
  for (int64_t item = first_half(); item < rows * parts; item += all_halves()) {
    const int64_t row = item / parts, first = parts > 1 ? item % parts * fold_block_size : 0;
    const int64_t last = parts > 1 ? at_most(first + fold_block_size, n) : n;
    auto place = [=](int64_t i) {
      const int64_t index = of ? of[row * n + i] : i;
      return Place<T>{x[row * (of ? of_n : n) + index], index};
    };
    const int64_t index = find_winner<T, Combine>(first, last, place);
    if (Team<1>::lane() == 0) out[item] = index;
  }
}

// The same of columns, a chunk of rows each.
template <class T, class Combine>
FASTNN_KERNEL(256)
find_in_columns(const T* x, const int64_t* of, int64_t of_extent, int64_t* out, int64_t outer, int64_t extent,
                int64_t inner, int64_t chunk) {
  const int64_t parts = ceil_div(extent, chunk), count = outer * parts * inner;
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t column = i % inner, part = i / inner % parts, plane = i / inner / parts;
    auto place = [=](int64_t k) {
      const int64_t index = of ? of[(plane * extent + k) * inner + column] : k;
      return Place<T>{x[(plane * (of ? of_extent : extent) + index) * inner + column], index};
    };
    Place<T> best = place(part * chunk);
    for (int64_t k = part * chunk + 1; k < at_most(part * chunk + chunk, extent); ++k)
      best = winner<Combine>(best, place(k));
    out[i] = best.index;
  }
}

template <class T, class Combine>
void find(const Reduce& r, std::byte* workspace) {
  const T* x = static_cast<const T*>(r.x);
  int64_t *out = static_cast<int64_t*>(r.out), *indices = reinterpret_cast<int64_t*>(workspace);
  const int64_t parts = parts_of(r), count = r.outer * r.inner, none = 0;
  const int64_t *all = nullptr, *found = indices;
  if (r.inner > 1) {
    launch(find_in_columns<T, Combine>, geometry_of(count * parts), x, all, none, parts > 1 ? indices : out, r.outer,
           r.extent, r.inner, chunk_rows);
    if (parts > 1)
      launch(find_in_columns<T, Combine>, geometry_of(count), x, found, r.extent, out, r.outer, parts, r.inner, parts);
  } else {
    launch(find_in_rows<T, Combine>, half_warps(count * parts), x, all, none, parts > 1 ? indices : out, count,
           r.extent, parts);
    if (parts > 1)
      launch(find_in_rows<T, Combine>, half_warps(count), x, found, r.extent, out, count, parts, int64_t{1});
  }
}

template <template <class> class Combine>
void position(const Reduce& r, std::byte* workspace) {
  switch (r.x_dtype) {
    case DType::float32: return find<float, Combine<float>>(r, workspace);
    case DType::float64: return find<double, Combine<double>>(r, workspace);
    default: return find<int64_t, Combine<int64_t>>(r, workspace);
  }
}

}  // namespace

void register_reduction(Table<DeviceKernel>& table) {
  table.sum = {fold_workspace, sum};
  table.mean = {fold_workspace, mean};
  table.max = {fold_workspace, extreme<Largest>};
  table.min = {fold_workspace, extreme<Smallest>};
  table.argmax = {fold_workspace, position<Largest>};
  table.argmin = {fold_workspace, position<Smallest>};
}

}  // namespace fastnn::cuda
