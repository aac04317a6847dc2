// sum, mean, max, min, argmax and argmin of x (outer, extent, inner) over its middle axis.
//
// inner = 1: the row expression of reduce.h (blocks of 4096, sixteen lanes). Long rows take two phases, one item per
// block and then one per row. inner > 1: chunks of 256 along the extent are combined in order from their first element,
// the results of chunks in order; vectors run across inner. Either way the bits follow from the shape alone. mean is
// the sum divided by the extent, one more rounding. The largest and smallest are NaN where there is a NaN; their index
// is that of the first such element.
//
// Why it is fast. x is read once, in whole vectors, whatever the axis: along rows as reduce.h says; across them several
// vectors of columns at a time, whose sums stay in registers while the rows of a chunk pass by. Nothing is transposed
// and nothing is stored but results.
#include "cpu/reduce.h"
#include "kernels/kernels.h"

namespace fastnn {
namespace {

inline constexpr int64_t chunk_rows = 256;
inline constexpr int64_t item_elements = 16384;  // of a strip, roughly
inline constexpr int strip_vectors = 4;          // enough independent sums to hide the latency of an addition

FASTNN_INLINE int64_t blocks_of(const Reduce& r) { return (r.extent + fold_block_size - 1) / fold_block_size; }

// Runs items first to last of a phase; sums and extremes of blocks stand in the workspace.
using Run = void (*)(const Reduce&, int phase, int64_t first, int64_t last, std::byte* workspace);

// Columns of an item where inner > 1: whole strips.
template <class T>
int64_t item_columns(const Reduce& r) {
  constexpr int64_t strip = strip_vectors * lanes<T>;
  int64_t wanted = item_elements / (r.extent > 0 ? r.extent : 1);
  return wanted < strip ? strip : wanted / strip * strip;
}

template <class T>
Work work_of(const Reduce& r) {
  constexpr double nanoseconds = 0.1;  // per element
  if (r.inner > 1) {
    int64_t columns = item_columns<T>(r), items = (r.inner + columns - 1) / columns;
    if (columns > r.inner) columns = r.inner;
    return {1, {r.outer * items}, {nanoseconds * static_cast<double>(r.extent * columns)}, 0, 0};
  }
  int64_t blocks = blocks_of(r), items = r.outer * r.inner;
  if (blocks <= 1) return {1, {items}, {10 + nanoseconds * static_cast<double>(r.extent)}, 0, 0};
  int64_t workspace = items * blocks * static_cast<int64_t>(sizeof(T));
  return {2, {items * blocks, items}, {nanoseconds * fold_block_size, 10 + static_cast<double>(blocks)}, workspace, 0};
}

// Elements of x as numbers of type T: those of bool, which are bytes, become int64.
template <class T, class X>
FASTNN_INLINE Vec<T> load_as(const X* from, auto count, T rest) {
  if constexpr (__is_same(T, X)) {
    return load(from, count, rest);
  } else {
    typedef X Narrow __attribute__((vector_size(sizeof(X) * lanes<T>)));
    Narrow v{};
    if constexpr (__is_same(decltype(count), All)) {
      __builtin_memcpy(&v, from, sizeof(v));
    } else {
      for (int64_t i = 0; i < count; ++i) v[i] = from[i];
    }
    return __builtin_convertvector(v, Vec<T>);
  }
}

// Calls strip<vectors>(column, count) until columns first to last are done: wide, then one vector, then a part of one.
template <class T, class Strip>
FASTNN_INLINE void for_each_strip(int64_t first, int64_t last, Strip strip) {
  for (; first + strip_vectors * lanes<T> <= last; first += strip_vectors * lanes<T>)
    strip.template operator()<strip_vectors>(first, All{});
  for (; first + lanes<T> <= last; first += lanes<T>) strip.template operator()<1>(first, All{});
  if (first < last) strip.template operator()<1>(first, last - first);
}

// Runs body(outer, first column, last column) for the items of an inner > 1.
template <class T, class Body>
FASTNN_INLINE void for_each_column_item(const Reduce& r, int64_t first, int64_t last, Body body) {
  int64_t columns = item_columns<T>(r), across = (r.inner + columns - 1) / columns;
  for (int64_t item = first; item < last; ++item) {
    int64_t column = item % across * columns;
    body(item / across, column, column + columns < r.inner ? column + columns : r.inner);
  }
}

// ---- sum, mean, max, min ------------------------------------------------------------------------------------------

template <class X, class T, class Combine>
T fold_of(const X* x, int64_t n) {
  if (n == 0) return T{0};  // of a sum; there is no largest element of nothing
  if constexpr (__is_same(T, X)) return fold_row<T, Combine>(x, n);
  else
    return fold_row<T, Combine>(n, [x](int64_t i, auto count) { return load_as<T>(x + i, count, Combine::identity); });
}

template <class X, class T, class Combine, bool is_mean>
void fold_columns(const X* x, int64_t extent, int64_t inner, int64_t first, int64_t last, T* out) {
  for_each_strip<T>(first, last, [=]<int vectors>(int64_t column, auto count) {
    constexpr Combine combine{};
    Vec<T> total[vectors] = {};
    for (int64_t chunk = 0; chunk < extent; chunk += chunk_rows) {
      int64_t end = chunk + chunk_rows < extent ? chunk + chunk_rows : extent;
      const X* from = x + chunk * inner + column;
      Vec<T> part[vectors];
      for (int v = 0; v < vectors; ++v) part[v] = load_as<T>(from + v * lanes<T>, count, T{0});
      for (int64_t k = chunk + 1; k < end; ++k) {
        from += inner;
        for (int v = 0; v < vectors; ++v) part[v] = combine(part[v], load_as<T>(from + v * lanes<T>, count, T{0}));
      }
      for (int v = 0; v < vectors; ++v) total[v] = chunk == 0 ? part[v] : combine(total[v], part[v]);
    }
    for (int v = 0; v < vectors; ++v) {
      if constexpr (is_mean) total[v] = total[v] / static_cast<T>(extent);
      store<T>(out + column + v * lanes<T>, total[v], count);
    }
  });
}

template <class X, class T, class Combine, bool is_mean>
void run_fold(const Reduce& r, int phase, int64_t first, int64_t last, std::byte* workspace) {
  const X* x = static_cast<const X*>(r.x);
  T* out = static_cast<T*>(r.out);
  T* results = reinterpret_cast<T*>(workspace);
  int64_t blocks = blocks_of(r);
  if (r.inner > 1) {
    for_each_column_item<T>(r, first, last, [=, &r](int64_t outer, int64_t from, int64_t to) {
      const X* plane = x + outer * r.extent * r.inner;
      fold_columns<X, T, Combine, is_mean>(plane, r.extent, r.inner, from, to, out + outer * r.inner);
    });
  } else if (blocks > 1 && phase == 0) {
    for (int64_t item = first; item < last; ++item) {
      int64_t start = item % blocks * fold_block_size, left = r.extent - start;
      const X* block = x + item / blocks * r.extent + start;
      results[item] = fold_of<X, T, Combine>(block, left < fold_block_size ? left : fold_block_size);
    }
  } else {
    for (int64_t row = first; row < last; ++row) {
      T result = blocks > 1 ? fold_of<T, T, Combine>(results + row * blocks, blocks)
                            : fold_of<X, T, Combine>(x + row * r.extent, r.extent);
      out[row] = is_mean ? result / static_cast<T>(r.extent) : result;
    }
  }
}

template <class T, template <class> class Combine>
constexpr Run fold_same = run_fold<T, T, Combine<T>, false>;

// int64 wraps around, which is defined for its unsigned twin only.
Run choose_sum(DType x) {
  switch (x) {
    case DType::float32: return fold_same<float, Sum>;
    case DType::float64: return fold_same<double, Sum>;
    case DType::int64: return fold_same<uint64_t, Sum>;
    default: return run_fold<uint8_t, uint64_t, Sum<uint64_t>, false>;
  }
}

Run choose_mean(DType x) {
  return x == DType::float32 ? run_fold<float, float, Sum<float>, true> : run_fold<double, double, Sum<double>, true>;
}

template <template <class> class Combine>
Run choose_extreme(DType x) {
  switch (x) {
    case DType::float32: return fold_same<float, Combine>;
    case DType::float64: return fold_same<double, Combine>;
    default: return fold_same<int64_t, Combine>;
  }
}

// ---- argmax, argmin -----------------------------------------------------------------------------------------------

// The first of n elements equal to `wanted`, which is one of them; the first NaN if it is NaN.
template <class T>
int64_t find_first(const T* x, int64_t n, T wanted) {
  const Vec<T> w = splat(wanted);
  const bool nan = wanted != wanted;
  for (int64_t i = 0;; i += lanes<T>) {
    Vec<T> v = i + lanes<T> <= n ? load(x + i) : load_partial(x + i, n - i, wanted);
    int at = first_lane<T>(nan ? is_nan<T>(v) : v == w);
    if (at < lanes<T>) return i + at;
  }
}

template <class T, class Combine>
void arg_columns(const T* x, int64_t extent, int64_t inner, int64_t first, int64_t last, int64_t* out) {
  constexpr int64_t longest = int64_t{1} << 30;  // a position must fit a lane
  for_each_strip<T>(first, last, [=]<int vectors>(int64_t column, auto count) {
    for (int v = 0; v < vectors; ++v, column += lanes<T>) {
      Vec<T> best = load(x + column, count, T{0});
      int64_t index[lanes<T>] = {};
      for (int64_t start = 1; start < extent; start += longest) {
        int64_t rows = extent - start < longest ? extent - start : longest;
        const T* from = x + start * inner + column;
        Vec<Int<T>> position{};  // the row that won, counted from 1 at `start`
        for (int64_t k = 1; k <= rows; ++k, from += inner) {
          Vec<T> a = load(from, count, T{0});
          Vec<Int<T>> won = (Combine::better(a, best) | is_nan<T>(a)) & ~is_nan<T>(best);
          best = won ? a : best;
          position = won ? splat(static_cast<Int<T>>(k)) : position;
        }
        for (int i = 0; i < lanes<T>; ++i)
          if (position[i] > 0) index[i] = start + position[i] - 1;
      }
      int64_t columns = lanes<T>;
      if constexpr (!__is_same(decltype(count), All)) columns = count;
      for (int64_t i = 0; i < columns; ++i) out[column + i] = index[i];
    }
  });
}

template <class T, class Combine>
void run_arg(const Reduce& r, int phase, int64_t first, int64_t last, std::byte* workspace) {
  const T* x = static_cast<const T*>(r.x);
  int64_t* out = static_cast<int64_t*>(r.out);
  T* results = reinterpret_cast<T*>(workspace);
  int64_t blocks = blocks_of(r);
  if (r.inner > 1) {
    for_each_column_item<T>(r, first, last, [=, &r](int64_t outer, int64_t from, int64_t to) {
      const T* plane = x + outer * r.extent * r.inner;
      arg_columns<T, Combine>(plane, r.extent, r.inner, from, to, out + outer * r.inner);
    });
  } else if (blocks > 1 && phase == 0) {
    run_fold<T, T, Combine, false>(r, phase, first, last, workspace);
  } else {
    for (int64_t row = first; row < last; ++row) {
      const T* elements = x + row * r.extent;
      int64_t start = 0;
      T wanted;
      if (blocks > 1) {
        const T* of_blocks = results + row * blocks;
        wanted = fold_row<T, Combine>(of_blocks, blocks);
        start = find_first(of_blocks, blocks, wanted) * fold_block_size;
      } else {
        wanted = fold_row<T, Combine>(elements, r.extent);
      }
      out[row] = start + find_first(elements + start, r.extent - start, wanted);
    }
  }
}

template <template <class> class Combine>
Run choose_arg(DType x) {
  switch (x) {
    case DType::float32: return run_arg<float, Combine<float>>;
    case DType::float64: return run_arg<double, Combine<double>>;
    default: return run_arg<int64_t, Combine<int64_t>>;
  }
}

template <Run (*choose)(DType)>
Kernel<Reduce> reduction() {
  return {[](const Reduce& r) { return r.x_dtype == DType::float32 ? work_of<float>(r) : work_of<double>(r); },
          [](const Reduce& r, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte*) {
            choose(r.x_dtype)(r, phase, first, last, workspace);
          }};
}

}  // namespace
}  // namespace fastnn

namespace fastnn::FASTNN_ISA {

void register_reduction(KernelTable& table) {
  table.sum = reduction<choose_sum>();
  table.mean = reduction<choose_mean>();
  table.max = reduction<choose_extreme<Largest>>();
  table.min = reduction<choose_extreme<Smallest>>();
  table.argmax = reduction<choose_arg<Largest>>();
  table.argmin = reduction<choose_arg<Smallest>>();
}

}  // namespace fastnn::FASTNN_ISA
