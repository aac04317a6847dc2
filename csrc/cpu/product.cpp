// matmul and linear: c = beta c + alpha a b, then + bias, then activation.
//
// Expression of an element. K is cut in chunks of 256. Within a chunk, p = fma(a[i][k], b[k][j], p) for k in order,
// from p = 0. The first chunk gives c = alpha p, or fma(alpha, p, beta c) where beta is not 0; each further one
// c = fma(alpha, p, c). Then c + bias[j], then the activation. Nothing else (tile, packing, side, threads) enters.
//
// Why it is fast. The inner loop keeps a tile of c in registers (14 x 32 floats on AVX-512, 6 x 16 on AVX2): each
// step loads one short row of b and multiplies it by `height` broadcast elements of a, so that two multiply-adds
// start every cycle. Around it stand the loops of Goto and van de Geijn ("Anatomy of high-performance matrix
// multiplication", 2008): b is packed once into panels that stay in L1 while a's packed block, in L2, passes by.
// Where one block of rows is all there is, each panel is packed just before it is read, and never leaves L1.
// The lanes run along the side where fewer are wasted: ten columns put them along the rows (`swapped`).
#include "cpu/activation.h"
#include "cpu/pack.h"
#include "kernels/kernels.h"

namespace fastnn {
namespace {

constexpr int64_t chunk = 256;                               // of K: fixes the bits
constexpr int max_height = vector_registers == 32 ? 14 : 6;  // rows of a tile
constexpr int tile_vectors = 2;                              // columns of a tile, in vectors
constexpr int64_t block_panels = 8;                          // row panels of a packed block of a: stays in L2
template <class T>
constexpr int tile_width = tile_vectors * lanes<T>;

// How one product is carried out. `rows` run in registers, `columns` in lanes.
template <class T>
struct Plan {
  bool swapped;  // lanes along m: the tile computes the transpose of c
  bool direct;   // full panels of b are read where they stand
  bool ahead;    // the others are packed by a phase of their own; else by the one item that reads them
  int64_t rows, columns, k;
  const T *a, *b;
  int64_t a_row, a_k, b_column, b_k;
  int64_t row_panels, column_panels, chunks;
  int64_t row_blocks, column_blocks;  // items of the product's phase

  // Row panels differ in height by one at most: 256 rows are 19 panels of 13 or 14, not 18 and a rest of 4.
  int64_t first_row(int64_t panel) const { return first_of(panel, rows, row_panels); }
  int64_t depth(int64_t c) const { return at_most(chunk, k - c * chunk); }
  T* panel(std::byte* workspace, int64_t c, int64_t p) const {
    return reinterpret_cast<T*>(workspace) + c * chunk * column_panels * tile_width<T> + p * depth(c) * tile_width<T>;
  }
  void pack_b(T* to, int64_t c, int64_t p) const {
    int64_t left = p * tile_width<T>;
    pack(to, tile_width<T>, b + left * b_column + c * chunk * b_k, b_column, b_k,
         static_cast<int>(at_most(tile_width<T>, columns - left)), depth(c));
  }
};

// Of an element, read from afar or packed.
constexpr double nanoseconds_to_pack = 0.15;

template <class T>
Plan<T> make_plan(const Product& p) {
  Plan<T> plan{};
  constexpr int64_t width = tile_width<T>;
  // Work in units of vector operations; a transposed store costs a little.
  int64_t normal = ceil_div(p.n, lanes<T>) * lanes<T> * p.m, swapped = ceil_div(p.m, lanes<T>) * lanes<T> * p.n;
  plan.swapped = p.n < width * 2 && swapped + swapped / 8 < normal;
  const T *a = static_cast<const T*>(p.a), *b = static_cast<const T*>(p.b);
  if (plan.swapped) {
    plan.rows = p.n, plan.columns = p.m;
    plan.a = b, plan.a_row = p.b_column, plan.a_k = p.b_row;
    plan.b = a, plan.b_column = p.a_row, plan.b_k = p.a_column;
  } else {
    plan.rows = p.m, plan.columns = p.n;
    plan.a = a, plan.a_row = p.a_row, plan.a_k = p.a_column;
    plan.b = b, plan.b_column = p.b_column, plan.b_k = p.b_row;
  }
  plan.k = p.k;
  plan.chunks = ceil_div(p.k, chunk);
  plan.row_panels = ceil_div(plan.rows, max_height);
  plan.column_panels = ceil_div(plan.columns, width);
  // Packing b pays when many row panels read it, or when its rows would be strided.
  plan.direct = plan.b_column == 1 && plan.row_panels <= 4;
  auto items_of = [](double nanoseconds, double each) {
    return static_cast<int64_t>(nanoseconds < 32 * each ? nanoseconds / each : 32);
  };
  const double rows = static_cast<double>(plan.rows), columns = static_cast<double>(plan.columns),
               k = static_cast<double>(p.k);
  // About 40 microseconds an item, so that threads can balance; a block of a is packed once per item.
  double cost = rows * columns * k / vector_bytes, item_cost = 40e3;
  plan.row_blocks = at_least(ceil_div(plan.row_panels, block_panels),
                             at_most(items_of(cost, item_cost), ceil_div(plan.row_panels, 4)));
  // A panel that one item reads is packed just before, into L1: to store all of b would cost more than a few rows do.
  // The few rows themselves are packed soon, and items may be smaller.
  plan.ahead = plan.row_blocks > 1;
  if (!plan.ahead) {
    cost += nanoseconds_to_pack * columns * k;
    item_cost = 12 * nanoseconds_to_pack * rows * k > 15e3 ? 12 * nanoseconds_to_pack * rows * k : 15e3;
  }
  plan.column_blocks =
      at_least(1, at_most(items_of(cost, item_cost) / at_least(plan.row_blocks, 1), plan.column_panels));
  return plan;
}

// What happens to a tile when a chunk is done.
template <class T>
struct Merge {
  T alpha, beta;
  bool first;
};

// height x (vectors * lanes) tile: c (+)= alpha a b over kc steps. a is packed `height` wide; b's steps are b_step
// apart.
template <class T, int height, int vectors>
void tile(int64_t kc, const T* a, const T* b, int64_t b_step, T* c, int64_t c_row, int columns, Merge<T> merge) {
  Vec<T> sum[height][vectors] = {};
  for (int64_t k = 0; k < kc; ++k, a += height, b += b_step) {
    Vec<T> row[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) row[v] = load(b + v * lanes<T>);
#pragma GCC unroll 14
    for (int i = 0; i < height; ++i) {
      Vec<T> x = splat(a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[i][v] = fma<T>(x, row[v], sum[i][v]);
    }
  }
  Vec<T> alpha = splat(merge.alpha), beta = splat(merge.beta);
#pragma GCC unroll 14
  for (int i = 0; i < height; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      T* to = c + i * c_row + v * lanes<T>;
      int left = columns - v * lanes<T>;
      bool whole = left >= lanes<T>;
      if (left <= 0) break;
      Vec<T> result;
      if (merge.first && merge.beta == 0) {
        result = alpha * sum[i][v];
      } else {
        Vec<T> old = whole ? load(to) : load_partial<T>(to, left, T(0));
        result = fma<T>(alpha, sum[i][v], merge.first ? beta * old : old);
      }
      if (whole) store(to, result);
      else store_partial<T>(to, result, left);
    }
  }
}

template <class T>
using TileFunction = void (*)(int64_t, const T*, const T*, int64_t, T*, int64_t, int, Merge<T>);

// One function per tile height, [vectors - 1][height - 1].
template <class T>
constexpr TileFunction<T> tiles[tile_vectors][14] = {
    {tile<T, 1, 1>, tile<T, 2, 1>, tile<T, 3, 1>, tile<T, 4, 1>, tile<T, 5, 1>, tile<T, 6, 1>,
#if defined(__AVX512F__) || defined(__aarch64__)
     tile<T, 7, 1>, tile<T, 8, 1>, tile<T, 9, 1>, tile<T, 10, 1>, tile<T, 11, 1>, tile<T, 12, 1>, tile<T, 13, 1>,
     tile<T, 14, 1>
#endif
    },
    {tile<T, 1, 2>, tile<T, 2, 2>, tile<T, 3, 2>, tile<T, 4, 2>, tile<T, 5, 2>, tile<T, 6, 2>,
#if defined(__AVX512F__) || defined(__aarch64__)
     tile<T, 7, 2>, tile<T, 8, 2>, tile<T, 9, 2>, tile<T, 10, 2>, tile<T, 11, 2>, tile<T, 12, 2>, tile<T, 13, 2>,
     tile<T, 14, 2>
#endif
    }};

// c = activation(c + bias), on rows of c that are complete and still in cache.
template <class T>
void finish(const Product& p, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  if (!p.bias && p.activation == Activation::none) return;
  const T* bias = static_cast<const T*>(p.bias);
  for (int64_t i = row; i < row + rows; ++i) {
    T* c = static_cast<T*>(p.c) + i * p.c_row;
    for (int64_t j = column; j < column + columns; j += lanes<T>) {
      int64_t left = column + columns - j;
      bool whole = left >= lanes<T>;
      Vec<T> v = whole ? load(c + j) : load_partial<T>(c + j, left, T(0));
      if (bias) v = v + (whole ? load(bias + j) : load_partial<T>(bias + j, left, T(0)));
      v = activate<T>(p.activation, v);
      if (whole) store(c + j, v);
      else store_partial<T>(c + j, v, left);
    }
  }
}

// One block of rows of the (possibly swapped) product against a range of column panels.
template <class T>
void run_block(const Product& p, const Plan<T>& plan, int64_t item, std::byte* workspace, std::byte* scratch) {
  constexpr int width = tile_width<T>;
  int64_t row_block = item / plan.column_blocks, column_block = item % plan.column_blocks;
  int64_t panel0 = first_of(row_block, plan.row_panels, plan.row_blocks);
  int64_t panel1 = first_of(row_block + 1, plan.row_panels, plan.row_blocks);
  int64_t column0 = first_of(column_block, plan.column_panels, plan.column_blocks);
  int64_t column1 = first_of(column_block + 1, plan.column_panels, plan.column_blocks);
  int64_t row0 = plan.first_row(panel0), row1 = plan.first_row(panel1);
  int64_t left0 = column0 * width, left1 = at_most(column1 * width, plan.columns);
  T* panel_of_b = reinterpret_cast<T*>(scratch);
  T* packed = panel_of_b + (plan.ahead ? 0 : chunk * width);
  // Swapped, the block of c's transpose is summed beside it in the scratch and turned at the end.
  T* c = static_cast<T*>(p.c) + row0 * p.c_row + left0;
  int64_t c_row = p.c_row;
  if (plan.swapped) {
    c = packed + (row1 - row0) * chunk, c_row = left1 - left0;
    if (p.beta != 0)
      for (int64_t i = row0; i < row1; ++i)
        for (int64_t j = left0; j < left1; ++j)
          c[(i - row0) * c_row + j - left0] = static_cast<const T*>(p.c)[j * p.c_row + i];
  }
  for (int64_t number = 0; number < at_least(plan.chunks, 1); ++number) {
    int64_t kc = plan.chunks ? plan.depth(number) : 0, k0 = number * chunk;
    for (int64_t panel = panel0; panel < panel1; ++panel) {
      int64_t row = plan.first_row(panel), height = plan.first_row(panel + 1) - row;
      pack(packed + (row - row0) * kc, static_cast<int>(height), plan.a + row * plan.a_row + k0 * plan.a_k, plan.a_row,
           plan.a_k, static_cast<int>(height), kc);
    }
    Merge<T> merge{static_cast<T>(p.alpha), static_cast<T>(p.beta), number == 0};
    for (int64_t q = column0; q < column1; ++q) {
      int64_t left = q * width;
      int columns = static_cast<int>(at_most(width, plan.columns - left));
      bool in_place = plan.direct && columns == width;
      if (!in_place && !plan.ahead) plan.pack_b(panel_of_b, number, q);
      const T* b = in_place     ? plan.b + left + k0 * plan.b_k
                   : plan.ahead ? plan.panel(workspace, number, q)
                                : panel_of_b;
      int64_t step = in_place ? plan.b_k : width;
      const TileFunction<T>* by_height = tiles<T>[columns > lanes<T> ? 1 : 0];
      for (int64_t panel = panel0; panel < panel1; ++panel) {
        int64_t row = plan.first_row(panel), height = plan.first_row(panel + 1) - row;
        by_height[height - 1](kc, packed + (row - row0) * kc, b, step, c + (row - row0) * c_row + left - left0, c_row,
                              columns, merge);
      }
    }
  }
  if (plan.swapped) {
    for (int64_t j = left0; j < left1; ++j)
      for (int64_t i = row0; i < row1; ++i) static_cast<T*>(p.c)[j * p.c_row + i] = c[(i - row0) * c_row + j - left0];
    finish<T>(p, left0, left1 - left0, row0, row1 - row0);
  } else {
    finish<T>(p, row0, row1 - row0, left0, left1 - left0);
  }
}

template <class T>
Work work_of(const Product& p) {
  Plan<T> plan = make_plan<T>(p);
  int64_t items = plan.row_blocks * plan.column_blocks;
  double flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  double per_nanosecond = vector_bytes / static_cast<double>(sizeof(T)) * (has_fma ? 8 : 3);
  int64_t rows = at_most(ceil_div(plan.row_panels, at_least(plan.row_blocks, 1)) * max_height, plan.rows);
  int64_t columns = at_most(ceil_div(plan.column_panels, plan.column_blocks) * tile_width<T>, plan.columns);
  int64_t size = sizeof(T), width = tile_width<T>;
  double nanoseconds = flops / per_nanosecond;
  if (!plan.ahead) nanoseconds += nanoseconds_to_pack * static_cast<double>(plan.columns) * static_cast<double>(plan.k);
  return {
      2,
      {plan.ahead ? plan.column_panels * plan.chunks : 0, items, 0},
      {static_cast<double>(chunk * width) * nanoseconds_to_pack, nanoseconds / static_cast<double>(at_least(items, 1)),
       0},
      plan.ahead ? times(plan.column_panels * width * size, plan.k) : 0,
      // A panel of b, the packed block of a (and a vector of slack behind it), and the turned block of c.
      ((plan.ahead ? 0 : chunk * width) + rows * chunk + (plan.swapped ? rows * columns : 0)) * size + vector_bytes};
}

template <class T>
void run_as(const Product& p, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) {
  Plan<T> plan = make_plan<T>(p);
  for (int64_t item = first; item < last; ++item) {
    int64_t number = item / plan.column_panels, q = item % plan.column_panels;
    if (phase == 0) plan.pack_b(plan.panel(workspace, number, q), number, q);
    else run_block(p, plan, item, workspace, scratch);
  }
}

Work product_work(const Product& p) { return p.dtype == DType::float32 ? work_of<float>(p) : work_of<double>(p); }

void product_run(const Product& p, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) {
  if (p.dtype == DType::float32) run_as<float>(p, phase, first, last, workspace, scratch);
  else run_as<double>(p, phase, first, last, workspace, scratch);
}

}  // namespace

namespace FASTNN_ISA {
void register_product(KernelTable& table) {
  table.matmul = {product_work, product_run};
  table.linear = {product_work, product_run};
}
}  // namespace FASTNN_ISA

}  // namespace fastnn
