// matmul and linear: c = beta c + alpha a b, then + bias, then activation, then the gradient of an activation.
// matmul_sgd_update: the same c is the gradient of a parameter, which is updated at once.
//
// Expression of an element. K is cut in chunks of 256. Within a chunk, p = fma(a[i][k], b[k][j], p) for k in order,
// from p = 0. The first chunk gives c = alpha p, or fma(alpha, p, beta c) where beta is not 0; each further one
// c = fma(alpha, p, c). Then c + bias[j], the activation, the gradient (activation.h), the update (update.h). Nothing
// else (tile, packing, side, threads) enters.
//
// Why it is fast. The inner loop keeps a tile of c in registers (14 x 32 floats on AVX-512, 6 x 16 on AVX2): each
// step loads one short row of b and multiplies it by `height` broadcast elements of a, so that two multiply-adds
// start every cycle. Around it stand the loops of Goto and van de Geijn ("Anatomy of high-performance matrix
// multiplication", 2008): b is packed once into panels that stay in L1 while a's packed block, in L2, passes by.
// Where one block of rows is all there is, each panel is packed just before it is read, and never leaves L1.
// The lanes run along the side that costs less (`swapped`). An operand that L1 holds, or whose panels meet few others,
// is not packed but read where it stands. What follows the sum is done while a tile is in registers (tile.h); longer
// functions, and what needs c the right way round, strip by strip, while a strip of c is in L1. (eager::explain_product
// says what was chosen.)
#include "cpu/loss.h"
#include "cpu/narrow.h"
#include "cpu/pack.h"
#include "cpu/tail.h"
#include "cpu/tile.h"

namespace fastnn {
namespace {

constexpr int64_t block_panels = 8;  // row panels of a packed block of a: stays in L2

// One product as the tile sees it: `rows` run in registers, `columns` in lanes.
template <class T>
struct Plan : ProductChoice {
  int64_t rows, columns, k, chunks;
  const T *a, *b;
  int64_t a_row, a_k, b_column, b_k;

  explicit Plan(const Product& p) : ProductChoice(p.choice), k(p.k), chunks(ceil_div(p.k, product_chunk)) {
    const T *left = static_cast<const T*>(p.a), *right = static_cast<const T*>(p.b);
    if (swapped) {
      rows = p.n, columns = p.m;
      a = right, a_row = p.b_column, a_k = p.b_row;
      b = left, b_column = p.a_row, b_k = p.a_column;
    } else {
      rows = p.m, columns = p.n;
      a = left, a_row = p.a_row, a_k = p.a_column;
      b = right, b_column = p.b_column, b_k = p.b_row;
    }
  }

  // Row panels differ in height by one at most: 256 rows are 19 panels of 13 or 14, not 18 and a rest of 4.
  int64_t first_row(int64_t panel) const { return first_of(panel, rows, row_panels); }
  int64_t depth(int64_t c) const { return at_most(product_chunk, k - c * product_chunk); }
  T* panel(std::byte* workspace, int64_t c, int64_t p) const {
    return reinterpret_cast<T*>(workspace) + c * product_chunk * column_panels * tile_width<T> +
           p * depth(c) * tile_width<T>;
  }
  int panel_step() const { return columns <= lanes<T> ? lanes<T> : tile_width<T>; }
  // What the phase of packing packs in each chunk.
  int64_t panels_ahead() const { return ahead_b ? column_panels + (ahead_a ? row_panels : 0) : 0; }
  // Behind those of b.
  T* panel_a(std::byte* workspace, int64_t c, int64_t p) const {
    return reinterpret_cast<T*>(workspace) + k * column_panels * tile_width<T> + c * product_chunk * rows +
           first_row(p) * depth(c);
  }
  void pack_b(T* to, int64_t c, int64_t p) const {
    int64_t left = p * tile_width<T>;
    pack(to, panel_step(), b + left * b_column + c * product_chunk * b_k, b_column, b_k,
         static_cast<int>(at_most(tile_width<T>, columns - left)), depth(c));
  }
  void pack_a(T* to, int64_t c, int64_t p) const {
    int64_t row = first_row(p);
    int height = static_cast<int>(first_row(p + 1) - row);
    pack(to, height, a + row * a_row + c * product_chunk * a_k, a_row, a_k, height, depth(c));
  }
};

// Of an element, read from afar or packed.
constexpr double nanoseconds_to_pack = 0.15;

template <class T>
void choose(Product& p) {
  constexpr int64_t width = tile_width<T>;
  // In lanes times steps of k: multiplying a panel, and packing it where its lanes are not neighbours already.
  auto effort = [](int64_t along_lanes, int64_t other, int64_t lane_stride) {
    return ceil_div(along_lanes, lanes<T>) * lanes<T> * (other + (lane_stride == 1 ? 2 : 12));
  };
  ProductChoice& c = p.choice;
  // Between long sides the lanes that idle do not matter; nor does turning b, which many rows of a then meet.
  bool may_swap = p.n < width * 2 || (p.m <= width * 2 && p.b_column != 1);
  c.swapped = may_swap && effort(p.m, p.n, p.a_row) < effort(p.n, p.m, p.b_column);
  const Plan<T> plan(p);
  c.row_panels = ceil_div(plan.rows, max_height);
  c.column_panels = ceil_div(plan.columns, width);
  // Packing pays when a panel is read many times, and L1 does not hold the operand as it stands.
  auto is_small = [&](int64_t step) { return p.k * step * static_cast<int64_t>(sizeof(T)) <= 16384; };
  c.direct_b = plan.b_column == 1 && (c.row_panels <= 4 || is_small(plan.b_k));
  // Rows a multiple of 4 KiB apart would meet in the same few lines of L1.
  c.direct_a = (plan.a_k == 1 && c.column_panels <= 2 && plan.a_row * sizeof(T) % 4096 != 0) ||
               (plan.a_row == 1 && is_small(plan.a_k));
  c.updates = p.update.param && !p.update.velocity && p.update.weight_decay == 0 && !c.swapped && plan.chunks == 1 &&
              p.alpha == 1;
  auto items_of = [](double nanoseconds, double each) {
    return static_cast<int64_t>(nanoseconds < 64 * each ? nanoseconds / each : 64);
  };
  const double rows = static_cast<double>(plan.rows), columns = static_cast<double>(plan.columns),
               k = static_cast<double>(p.k);
  // Items of some 8 microseconds, so that threads can balance, or of 1.5 where none packs rows. Blocks of rows first,
  // where there is more than one; but a b that L2 does not hold passes through it once for each, so that they must not
  // be low.
  double cost = rows * columns * k / vector_bytes;
  double item_cost = c.direct_a ? 3e3 : c.row_panels > block_panels ? 16e3 : 60e3;
  int64_t least_panels = columns * k * sizeof(T) > 1 << 20 ? block_panels : 2;
  c.row_blocks = at_least(ceil_div(c.row_panels, block_panels),
                          at_most(items_of(cost, item_cost), ceil_div(c.row_panels, least_panels)));
  // A panel that one item reads is packed just before, into L1: to store all of b would cost more than a few rows do.
  // The few rows themselves are packed soon, and items may be smaller.
  c.ahead_b = c.row_blocks > 1 && !c.direct_b;
  if (!c.ahead_b) {
    cost += nanoseconds_to_pack * columns * k;
    double packing = 12 * nanoseconds_to_pack * rows * k;
    item_cost = c.direct_a ? 2e3 : packing > 15e3 ? packing : 15e3;
  }
  int64_t columns_wanted = items_of(cost, item_cost) / at_least(c.row_blocks, 1);
  c.column_blocks = at_least(1, at_most(columns_wanted, c.column_panels));
  c.ahead_a = c.ahead_b && c.column_blocks > 1 && !c.direct_a;
  c.has_loss = p.loss && (c.swapped ? c.row_blocks : c.column_blocks) == 1;  // an item makes whole rows of c
}

// Where a block is computed: a panel of b; its packed rows of a; the sums of a strip (of all strips, where there are
// several chunks) that are not made in c itself; and a strip that has been turned for an update.
template <class T>
struct Scratch {
  bool aside, whole;
  int64_t panel, packed, sums, turned;  // elements

  Scratch(const Product& p, const Plan<T>& plan, int64_t rows, int64_t columns)
      : aside(plan.swapped || p.update.param), whole(plan.chunks > 1) {
    panel = plan.ahead_b ? 0 : product_chunk * tile_width<T>;
    packed = plan.direct_a || plan.ahead_a ? 0 : rows * product_chunk;
    sums = aside ? rows * (whole ? columns : tile_width<T>) : 0;
    turned = plan.swapped && p.update.param ? rows * tile_width<T> : 0;
  }
};

// Whether a tile makes the layer's part of what follows the sum, and that of a gradient; else they are made strip by
// strip: functions of some length, which would be compiled into each tile.
bool ends_layer(const Product& p) { return p.activation == Activation::none || p.activation == Activation::relu; }
bool ends_gradient(const Product& p, bool swapped) {
  return ends_layer(p) && p.y && p.backward == Activation::relu && !swapped;
}

// Of the tile at (row, column) of the possibly swapped product.
template <class T>
Ending<T> ending_of(const Product& p, bool swapped, int64_t row, int64_t column) {
  Ending<T> ending{};
  if (ends_layer(p)) {
    if (p.bias) ending.bias = static_cast<const T*>(p.bias) + (swapped ? row : column);
    ending.is_bias_of_rows = p.bias && swapped;
    ending.is_relu = p.activation == Activation::relu;
  }
  if (ends_gradient(p, swapped)) {
    ending.y = static_cast<const T*>(p.y) + row * p.y_row + column;
    ending.y_row = p.y_row;
  }
  return ending;
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
  int64_t row0 = plan.first_row(panel0), rows = plan.first_row(panel1) - row0;
  int64_t left0 = column0 * width, left1 = at_most(column1 * width, plan.columns);
  const Scratch<T> sizes(p, plan, rows, left1 - left0);
  T* panel_of_b = reinterpret_cast<T*>(scratch);
  T* packed = panel_of_b + sizes.panel;
  T *sums = packed + sizes.packed, *turned = sums + sizes.sums, *product = static_cast<T*>(p.c);
  for (int64_t number = 0; number < at_least(plan.chunks, 1); ++number) {
    int64_t kc = plan.chunks ? plan.depth(number) : 0, k0 = number * product_chunk;
    for (int64_t panel = panel0; panel < panel1 && sizes.packed; ++panel)
      plan.pack_a(packed + (plan.first_row(panel) - row0) * kc, number, panel);
    if (plan.ahead_a) packed = plan.panel_a(workspace, number, panel0);
    const bool is_last = number + 1 >= plan.chunks;
    Merge<T> merge{static_cast<T>(p.alpha), static_cast<T>(p.beta), number == 0, {}};
    for (int64_t q = column0; q < column1; ++q) {
      int64_t left = q * width;
      int columns = static_cast<int>(at_most(width, plan.columns - left));
      T* c = sizes.aside ? sums + (sizes.whole ? left - left0 : 0) : product + row0 * p.c_row + left;
      int64_t c_row = sizes.aside ? (sizes.whole ? left1 - left0 : width) : p.c_row;
      if (plan.swapped && p.beta != 0 && number == 0)
        turn(c, c_row, columns, product + left * p.c_row + row0, p.c_row, columns, rows);
      bool in_place = plan.direct_b && columns == width;
      if (!in_place && !plan.ahead_b) plan.pack_b(panel_of_b, number, q);
      const T* b = in_place       ? plan.b + left + k0 * plan.b_k
                   : plan.ahead_b ? plan.panel(workspace, number, q)
                                  : panel_of_b;
      int64_t step = in_place ? plan.b_k : plan.panel_step();
      const TileFunction<T>* by_height = tiles<T>[columns > lanes<T> ? 1 : 0];
      // The simplest update is made of the sums in registers.
      const bool updates = plan.updates && columns % lanes<T> == 0;
      if (updates) c = static_cast<T*>(p.update.param) + row0 * p.n + left, c_row = p.n;
      if (is_last) merge.ending = ending_of<T>(p, plan.swapped, row0, left);
      if (updates) merge.ending.updates = true, merge.ending.minus_lr = static_cast<T>(-*p.update.lr);
      for (int64_t panel = panel0; panel < panel1; ++panel) {
        int64_t row = plan.first_row(panel), height = plan.first_row(panel + 1) - row;
        const T* a = plan.direct_a ? plan.a + row * plan.a_row + k0 * plan.a_k : packed + (row - row0) * kc;
        by_height[height - 1](kc, a, plan.direct_a ? plan.a_row : 1, plan.direct_a ? plan.a_k : height, b, step,
                              c + (row - row0) * c_row, c_row, columns, merge);
        merge.ending.advance(height);
      }
      if (updates || !is_last) continue;
      Strip<T> strip{c, c_row, row0, rows, left, columns};
      if (!ends_layer(p)) finish_layer(p, strip, plan.swapped);
      if (plan.swapped) {
        T* to = p.update.param ? turned : product + left * p.c_row + row0;
        int64_t to_row = p.update.param ? rows : p.c_row;
        turn(to, to_row, rows, c, c_row, rows, columns);
        strip = {to, to_row, left, columns, row0, rows};
      }
      finish_gradient(p, strip, ends_gradient(p, plan.swapped));
    }
  }
}

template <class T>
Work work_of(const Product& p) {
  const Plan<T> plan(p);
  int64_t items = plan.row_blocks * plan.column_blocks;
  double flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  double per_nanosecond = vector_bytes / static_cast<double>(sizeof(T)) * (has_fma ? 8 : 3);
  int64_t rows = at_most(ceil_div(plan.row_panels, at_least(plan.row_blocks, 1)) * max_height, plan.rows);
  int64_t columns = at_most(ceil_div(plan.column_panels, plan.column_blocks) * tile_width<T>, plan.columns);
  const Scratch<T> scratch(p, plan, rows, columns);
  int64_t size = sizeof(T), width = tile_width<T>;
  double nanoseconds = flops / per_nanosecond;
  if (!plan.ahead_b)
    nanoseconds += nanoseconds_to_pack * static_cast<double>(plan.columns) * static_cast<double>(plan.k);
  return {2,
          {plan.panels_ahead() * plan.chunks, items, 0},
          {static_cast<double>(product_chunk * width) * nanoseconds_to_pack,
           nanoseconds / static_cast<double>(at_least(items, 1)), 0},
          times(((plan.ahead_b ? plan.column_panels * width : 0) + (plan.ahead_a ? plan.rows : 0)) * size, plan.k),
          (scratch.panel + scratch.packed + scratch.sums + scratch.turned) * size};
}

template <class T>
void run_as(const Product& p, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) {
  const Plan<T> plan(p);
  for (int64_t item = first; item < last; ++item) {
    if (phase == 1) {
      run_block(p, plan, item, workspace, scratch);
      continue;
    }
    int64_t number = item / plan.panels_ahead(), q = item % plan.panels_ahead();
    if (q < plan.column_panels) plan.pack_b(plan.panel(workspace, number, q), number, q);
    else plan.pack_a(plan.panel_a(workspace, number, q - plan.column_panels), number, q - plan.column_panels);
  }
}

void product_choose(Product& p) {
  if (p.dtype == DType::float32) choose<float>(p);
  else choose<double>(p);
}

void linear_choose(Product& p) {
  if (!is_narrow(p.n, p.k)) product_choose(p);
  else if (p.dtype == DType::float32) narrow_choose<float>(p);
  else narrow_choose<double>(p);
}

// The first row of c that an item makes, where it makes whole ones.
template <class T>
int64_t first_row_of(const Product& p, int64_t item) {
  if (p.choice.along_k) return first_of(item, p.m, p.choice.row_blocks);
  const Plan<T> plan(p);
  if (!plan.swapped) return plan.first_row(first_of(item, plan.row_panels, plan.row_blocks));
  return at_most(p.m, first_of(item, plan.column_panels, plan.column_blocks) * tile_width<T>);
}

template <class T>
void run_phase(const Product& p, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) {
  auto run = p.choice.along_k ? narrow_run<T> : run_as<T>;
  if (!p.choice.has_loss) return run(p, phase, first, last, workspace, scratch);
  std::byte* behind = workspace + FASTNN_ISA::loss_workspace(*p.loss);
  if (phase == 0) {
    if (first == 0) FASTNN_ISA::begin_loss(*p.loss, workspace);
    return run(p, 0, at_least(first - 1, 0), last - 1, behind, scratch);
  }
  if (phase == 2) return FASTNN_ISA::end_loss(*p.loss, workspace);
  for (int64_t item = first; item < last; ++item) {
    run(p, 1, item, item + 1, behind, scratch);
    FASTNN_ISA::loss_of_rows(*p.loss, first_row_of<T>(p, item), first_row_of<T>(p, item + 1), workspace);
  }
}

Work product_work(const Product& p) {
  const bool is_float = p.dtype == DType::float32;
  Work work = p.choice.along_k ? (is_float ? narrow_work<float>(p) : narrow_work<double>(p))
                               : (is_float ? work_of<float>(p) : work_of<double>(p));
  if (!p.choice.has_loss) return work;
  // The denominator is an item of the first phase, the sum a phase of its own.
  const double rows = static_cast<double>(p.m);
  work.phases = 3, work.items[0] += 1, work.items[2] = 1;
  work.cost[1] += rows * FASTNN_ISA::nanoseconds_of_row(*p.loss) / static_cast<double>(at_least(work.items[1], 1));
  work.cost[2] = rows * 0.1;
  work.workspace += FASTNN_ISA::loss_workspace(*p.loss);
  return work;
}

void product_run(const Product& p, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) {
  auto run = p.dtype == DType::float32 ? run_phase<float> : run_phase<double>;
  run(p, phase, first, last, workspace, scratch);
}

}  // namespace

namespace FASTNN_ISA {
void register_product(KernelTable& table) {
  table.matmul = table.matmul_sgd_update = {product_work, product_run, product_choose};
  table.linear = {product_work, product_run, linear_choose};
}
}  // namespace FASTNN_ISA

}  // namespace fastnn
