// gather, scatter_add, pick, pick_backward, one_hot: rows and elements found by index.
//
// gather         out[i][c] = data[indices[i]][c], or T(data[indices[i]][c]) / divisor, correctly rounded
// scatter_add    out = 0, then out[indices[i]][c] += grad[i][c] for i in order
// pick           out[i] = x[rows[i]][columns[i]]
// pick_backward  out = 0, then out[rows[i]][columns[i]] += grad[i] for i in order
// one_hot        out[i][c] = 1 where c is labels[i], else 0
//
// Why it is fast. Of gather see gather.h. scatter_add is divided by columns: each strip meets its additions in order,
// however many threads there are.
#include "cpu/gather.h"

namespace fastnn {
namespace {

// ---- gather ---------------------------------------------------------------------------------------------------

constexpr int64_t gather_block = 4096;  // elements of an item, roughly

// Calls copy(row of data, row of out) for the rows [begin, end) of out.
template <class From, class To, class Copy>
FASTNN_INLINE void each_row(const Gather& g, int64_t begin, int64_t end, Copy copy) {
  const std::byte* data = static_cast<const std::byte*>(g.data);
  std::byte* out = static_cast<std::byte*>(g.out);
  const int64_t from_bytes = g.width * item_size(g.data_dtype), to_bytes = g.width * item_size(g.out_dtype);
  const int64_t stride = g.stride * item_size(g.data_dtype);
  // Short rows need no asking: the processor itself runs many ahead.
  const int64_t ahead = from_bytes < line ? end - begin : rows_ahead(from_bytes);
  for (int64_t i = begin; i < begin + ahead && ahead < end - begin; ++i) ask_for(g, i);
  for (int64_t i = begin; i < end; ++i) {
    if (i + ahead < end) ask_for(g, i + ahead);
    copy(reinterpret_cast<const From*>(data + g.indices[i] * stride), reinterpret_cast<To*>(out + i * to_bytes));
  }
}

template <class T, class From, class Quotient>
void gather_divided(const Gather& g, int64_t begin, int64_t end, Quotient quotient) {
  const int64_t width = g.width;
  const T divisor = static_cast<T>(g.divisor);
  each_row<From, T>(g, begin, end, [=](const From* from, T* to) {
    int64_t c = 0;
    for (; c + lanes<T> <= width; c += lanes<T>) store(to + c, quotient(load_as<T>(from + c)));
    if (c == width) return;
    if (c > 0) {  // the last vector overlaps the one before
      c = width - lanes<T>;
      store(to + c, quotient(load_as<T>(from + c)));
    } else {
      for (; c < width; ++c) to[c] = number_as<T>(from[c]) / divisor;
    }
  });
}

template <class T>
void gather_as(const Gather& g, int64_t begin, int64_t end) {
  const T divisor = static_cast<T>(g.divisor);
  const Division<T> division{splat(divisor)};
  const Reciprocal<T> reciprocal(divisor);
  if (g.data_dtype == DType::float16 && g.divisor == 1) gather_divided<T, Half>(g, begin, end, Unchanged<T>{});
  else if (g.data_dtype == DType::float16) gather_divided<T, Half>(g, begin, end, division);
  else if (g.data_dtype != DType::uint8) gather_divided<T, T>(g, begin, end, division);
  else if ((end - begin) * g.width >= gather_block && reciprocal.equals(division))
    gather_divided<T, uint8_t>(g, begin, end, reciprocal);
  else gather_divided<T, uint8_t>(g, begin, end, division);
}

// Rows of so many bytes, each by one move.
template <int bytes>
void gather_units(const Gather& g, int64_t begin, int64_t end) {
  each_row<std::byte, std::byte>(g, begin, end,
                                 [](const std::byte* from, std::byte* to) { __builtin_memcpy(to, from, bytes); });
}

void gather_bytes(const Gather& g, int64_t bytes, int64_t begin, int64_t end) {
  each_row<uint8_t, uint8_t>(g, begin, end, [=](const uint8_t* from, uint8_t* to) {
    if (bytes < vector_bytes) {
      __builtin_memcpy(to, from, static_cast<size_t>(bytes));
      return;
    }
    for (int64_t b = 0; b + vector_bytes <= bytes; b += vector_bytes) store(to + b, load(from + b));
    store(to + bytes - vector_bytes, load(from + bytes - vector_bytes));
  });
}

int64_t rows_of_item(int64_t width) { return at_least(1, gather_block / at_least(width, 1)); }

Work gather_work(const Gather& g) {
  const int64_t rows = rows_of_item(g.width);
  const double bytes = static_cast<double>(g.width * (item_size(g.data_dtype) + item_size(g.out_dtype)));
  return {1, {ceil_div(g.count, rows), 0, 0}, {static_cast<double>(rows) * (3 + 0.02 * bytes), 0, 0}, 0, 0};
}

void gather_run(const Gather& g, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  const int64_t rows = rows_of_item(g.width), begin = first * rows, end = at_most(last * rows, g.count);
  const int64_t bytes = g.width * item_size(g.data_dtype);
  if (g.data_dtype != g.out_dtype || g.divisor != 1) {
    if (g.out_dtype == DType::float32) gather_as<float>(g, begin, end);
    else gather_as<double>(g, begin, end);
  } else if (bytes == 4) {
    gather_units<4>(g, begin, end);
  } else if (bytes == 8) {
    gather_units<8>(g, begin, end);
  } else {
    gather_bytes(g, bytes, begin, end);
  }
}

// ---- scatter_add ----------------------------------------------------------------------------------------------

constexpr int64_t strip = 128;  // columns of an item

template <class T>
void scatter_strip(const ScatterAdd& s, int64_t begin, int64_t end) {
  const T* grad = static_cast<const T*>(s.grad);
  T* out = static_cast<T*>(s.out);
  for (int64_t row = 0; row < s.rows; ++row)
    __builtin_memset(out + row * s.width + begin, 0, static_cast<size_t>(end - begin) * sizeof(T));
  for (int64_t i = 0; i < s.count; ++i) {
    const T* __restrict from = grad + i * s.width;
    T* __restrict to = out + s.indices[i] * s.width;
    for (int64_t c = begin; c < end; ++c) to[c] += from[c];
  }
}

Work scatter_add_work(const ScatterAdd& s) {
  const double columns = static_cast<double>(at_most(strip, s.width));
  const double cost =
      static_cast<double>(s.rows) * (2 + 0.05 * columns) + static_cast<double>(s.count) * (3 + 0.2 * columns);
  return {1, {ceil_div(s.width, strip), 0, 0}, {cost, 0, 0}, 0, 0};
}

void scatter_add_run(const ScatterAdd& s, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  for (int64_t item = first; item < last; ++item) {
    const int64_t begin = item * strip, end = at_most(begin + strip, s.width);
    if (s.dtype == DType::float32) scatter_strip<float>(s, begin, end);
    else scatter_strip<double>(s, begin, end);
  }
}

// ---- pick -----------------------------------------------------------------------------------------------------

constexpr int64_t pick_block = 1024;     // elements of an item
constexpr int64_t zero_block = 1 << 16;  // bytes of an item

FASTNN_INLINE int64_t place_of(const Pick& p, int64_t i) {
  return p.row_indices[i] * p.row + p.column_indices[i] * p.column;
}

template <class Unit>
void pick_units(const Pick& p, int64_t begin, int64_t end) {
  const Unit* x = static_cast<const Unit*>(p.x);
  Unit* out = static_cast<Unit*>(p.out);
  for (int64_t i = begin; i < end; ++i) __builtin_memcpy(out + i, x + place_of(p, i), sizeof(Unit));
}

Work pick_work(const Pick& p) { return {1, {ceil_div(p.count, pick_block), 0, 0}, {3.0 * pick_block, 0, 0}, 0, 0}; }

void pick_run(const Pick& p, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  const int64_t begin = first * pick_block, end = at_most(last * pick_block, p.count);
  switch (item_size(p.dtype)) {
    case 1: return pick_units<uint8_t>(p, begin, end);
    case 4: return pick_units<uint32_t>(p, begin, end);
    default: return pick_units<uint64_t>(p, begin, end);
  }
}

template <class T>
void pick_add(const Pick& p) {
  const T* grad = static_cast<const T*>(p.x);
  T* out = static_cast<T*>(p.out);
  for (int64_t i = 0; i < p.count; ++i) out[place_of(p, i)] += grad[i];
}

// Zeros first, in blocks; then the additions, which keep their order as one item.
Work pick_backward_work(const Pick& p) {
  const int64_t bytes = p.rows * p.columns * item_size(p.dtype);
  return {2, {ceil_div(bytes, zero_block), 1, 0}, {0.05 * zero_block, 3.0 * static_cast<double>(p.count), 0}, 0, 0};
}

void pick_backward_run(const Pick& p, int phase, int64_t first, int64_t last, std::byte*, std::byte*) {
  if (phase == 0) {
    const int64_t end = at_most(last * zero_block, p.rows * p.columns * item_size(p.dtype));
    __builtin_memset(static_cast<std::byte*>(p.out) + first * zero_block, 0,
                     static_cast<size_t>(end - first * zero_block));
  } else if (p.dtype == DType::float32) {
    pick_add<float>(p);
  } else {
    pick_add<double>(p);
  }
}

// ---- one_hot --------------------------------------------------------------------------------------------------

template <class T>
void one_hot_rows(const OneHot& o, int64_t begin, int64_t end) {
  T* out = static_cast<T*>(o.out);
  __builtin_memset(out + begin * o.classes, 0, static_cast<size_t>((end - begin) * o.classes) * sizeof(T));
  for (int64_t i = begin; i < end; ++i) out[i * o.classes + o.labels[i]] = 1;
}

Work one_hot_work(const OneHot& o) {
  const int64_t rows = rows_of_item(o.classes);
  const double bytes = static_cast<double>(o.classes * item_size(o.dtype));
  return {1, {ceil_div(o.count, rows), 0, 0}, {static_cast<double>(rows) * (2 + 0.02 * bytes), 0, 0}, 0, 0};
}

void one_hot_run(const OneHot& o, int, int64_t first, int64_t last, std::byte*, std::byte*) {
  const int64_t rows = rows_of_item(o.classes), begin = first * rows, end = at_most(last * rows, o.count);
  if (o.dtype == DType::float32) one_hot_rows<float>(o, begin, end);
  else if (o.dtype == DType::float64) one_hot_rows<double>(o, begin, end);
  else one_hot_rows<int64_t>(o, begin, end);
}

}  // namespace

namespace FASTNN_ISA {
void register_indexing(KernelTable& table) {
  table.gather = {gather_work, gather_run};
  table.scatter_add = {scatter_add_work, scatter_add_run};
  table.pick = {pick_work, pick_run};
  table.pick_backward = {pick_backward_work, pick_backward_run};
  table.one_hot = {one_hot_work, one_hot_run};
}
}  // namespace FASTNN_ISA

}  // namespace fastnn
