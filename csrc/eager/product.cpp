#include <cstring>
#include <sstream>

#include "eager/eager.h"

namespace fastnn::eager {
namespace {

// The two strides of a matrix. A side of length 1 is never walked; its stride is set so that the view looks row-major.
struct Matrix {
  int64_t rows, columns, row, column;

  Matrix(const View& v, bool transposed)
      : rows(v.shape[0]), columns(v.shape[1]), row(v.strides[0]), column(v.strides[1]) {
    if (columns == 1) column = 1;
    if (rows == 1) row = columns;
    if (transposed) {
      std::swap(rows, columns);
      std::swap(row, column);
    }
  }
};

// A result whose rows are contiguous; anything else would be half written through a copy.
void require_rows(const Call& call, const View& out) {
  if (count_of(out) > 0 && out.shape[1] > 1 && out.strides[1] != 1)
    raise<ValueError>(call.op, "out must have contiguous rows; its shape is ", ShapeOf(out));
}

Activation activation_of(const Call& call, const char* argument, const char* name) {
  if (!name) return Activation::none;
  constexpr const char* names[] = {"relu", "sigmoid", "tanh", "gelu"};
  for (int i = 0; i < 4; ++i)
    if (std::strcmp(name, names[i]) == 0) return static_cast<Activation>(i + 1);
  raise<ValueError>(call.op, argument, " = '", name, "' must be None, 'relu', 'sigmoid', 'tanh' or 'gelu'");
}

// The product of two matrices, without a place for the result.
Product product_of(const Call& call, const Argument& a, bool transpose_a, const Argument& b, bool transpose_b) {
  require_rank(call, a, 2);
  require_rank(call, b, 2);
  require_dtype(call, a, {DType::float32, DType::float64});
  require_same_dtype(call, a, b);
  Matrix left(a.view, transpose_a), right(b.view, transpose_b);
  if (left.columns != right.rows)
    raise<ValueError>(call.op, "a is (", left.rows, ", ", left.columns, ") but b is (", right.rows, ", ", right.columns,
                      "): a's columns must equal b's rows");
  Product product{};
  product.dtype = a.view.dtype;
  product.m = left.rows, product.n = right.columns, product.k = left.columns;
  product.a = a.view.data, product.a_row = left.row, product.a_column = left.column;
  product.b = b.view.data, product.b_row = right.row, product.b_column = right.column;
  product.alpha = 1;
  return product;
}

// Sets the precision that is asked for. A device's library reads rows or columns that are contiguous; of other factors
// it gets copies, in `memory`.
void set_precision(const Call& call, const char* name, Product& product, Buffer (&memory)[2]) {
  if (!name || std::strcmp(name, "float32") == 0) return;
  if (std::strcmp(name, "tf32") == 0) product.precision = Precision::tf32;
  else if (std::strcmp(name, "bf16") == 0) product.precision = Precision::bf16;
  else raise<ValueError>(call.op, "precision = '", name, "' must be 'float32', 'tf32' or 'bf16'");
  if (product.k == 0) return;  // nothing is multiplied
  if (!call.device || product.dtype != DType::float32)
    raise<ValueError>(call.op, "precision = '", name, "' is for float32 on a GPU: leave it out");
  auto make_readable = [&](const void*& data, int64_t rows, int64_t& row, int64_t columns, int64_t& column,
                           Buffer& to) {
    if ((column == 1 && row >= columns) || (row == 1 && column >= rows)) return;
    auto* from = const_cast<std::byte*>(static_cast<const std::byte*>(data));
    data = made_contiguous(call, {from, product.dtype, 2, {rows, columns}, {row, column}}, to).data;
    row = columns, column = 1;
  };
  make_readable(product.a, product.m, product.a_row, product.k, product.a_column, memory[0]);
  make_readable(product.b, product.k, product.b_row, product.n, product.b_column, memory[1]);
}

}  // namespace

void matmul(const Call& call, Argument a, Argument b, const Argument* y, const MatmulOptions& options, Output& output) {
  Product product = product_of(call, a, options.transpose_a, b, options.transpose_b);
  require_finite(call, "alpha", options.alpha, product.dtype);
  require_finite(call, "beta", options.beta, product.dtype);
  if (options.beta != 0 && !output.given) raise<ValueError>(call.op, "beta = ", options.beta, " needs out");
  product.alpha = options.alpha, product.beta = options.beta;
  product.backward = activation_of(call, "backward", options.backward);
  if ((product.backward == Activation::none) == (y != nullptr))
    raise<ValueError>(call.op, y ? "y needs backward, the name of an activation" : "backward needs y");
  if (y) {
    require_same_dtype(call, a, *y);
    require_shape(call, *y, {product.m, product.n}, ", that of the product");
  }
  int64_t shape[] = {product.m, product.n};
  View out = output.place(call, product.dtype, 2, shape);
  require_rows(call, out);
  require_apart(call, out, {&a, &b, y});
  if (count_of(out) == 0) return;
  product.c = out.data, product.c_row = out.strides[0];
  Buffer y_memory, factors[2];
  set_precision(call, options.precision, product, factors);
  if (y) product.y = made_contiguous(call, y->view, y_memory).data, product.y_row = product.n;
  execute(call, kernels().matmul, product);
}

void linear(const Call& call, Argument x, Argument weight, const Argument* bias, const char* activation, Output& output,
            const char* precision) {
  require_rank(call, x, 2);
  require_rank(call, weight, 2);
  if (x.view.shape[1] != weight.view.shape[1])
    raise<ValueError>(call.op, "x is ", ShapeOf(x.view), " but weight is ", ShapeOf(weight.view),
                      ": x must have as many columns as weight");
  Product product = product_of(call, x, false, weight, true);
  product.activation = activation_of(call, "activation", activation);
  if (bias) {
    require_same_dtype(call, x, *bias);
    require_shape(call, *bias, {product.n}, ", one per row of weight");
  }
  int64_t shape[] = {product.m, product.n};
  View out = output.place(call, product.dtype, 2, shape);
  require_rows(call, out);
  require_apart(call, out, {&x, &weight, bias});
  if (count_of(out) == 0) return;
  product.c = out.data, product.c_row = out.strides[0];
  Buffer bias_memory, factors[2];
  set_precision(call, precision, product, factors);
  if (bias) product.bias = made_contiguous(call, bias->view, bias_memory).data;
  execute(call, kernels().linear, product);
}

std::string explain_product(const Call& call, Argument a, Argument b, bool transpose_a, bool transpose_b, bool linear) {
  Product product = product_of(call, a, transpose_a, b, transpose_b);
  (linear ? kernels().linear : kernels().matmul).choose(product);
  const ProductChoice& c = product.choice;
  auto way = [](bool direct, bool ahead) { return direct ? "in place" : ahead ? "packed ahead" : "packed"; };
  const char *way_a = way(c.direct_a, c.ahead_a), *way_b = way(c.direct_b, c.ahead_b);
  int64_t panels[] = {c.row_panels, c.column_panels}, blocks[] = {c.row_blocks, c.column_blocks};
  std::ostringstream text;
  if (c.along_k) {
    text << "a " << way_a << ", b " << way_b << ", " << c.row_blocks << " items, lanes along k";
    return text.str();
  }
  if (c.swapped) std::swap(way_a, way_b), std::swap(panels[0], panels[1]), std::swap(blocks[0], blocks[1]);
  text << "a " << way_a << ", b " << way_b << ", " << panels[0] << 'x' << panels[1] << " panels in " << blocks[0] << 'x'
       << blocks[1] << " items" << (c.swapped ? ", lanes along m" : "");
  return text.str();
}

void matmul_sgd_update(const Call& call, Argument param, Argument a, Argument b, const Argument* velocity,
                       bool transpose_a, bool transpose_b, const SgdOptions& options, const char* precision) {
  Product product = product_of(call, a, transpose_a, b, transpose_b);
  require_same_dtype(call, param, a);
  require_shape(call, param, {product.m, product.n}, ", that of the product");
  for (const Argument* written : {static_cast<const Argument*>(&param), velocity})
    for (const Argument* read : {&a, &b})
      if (written && overlaps(written->view, read->view))
        raise<ValueError>(call.op, written->name, " overlaps ", read->name, " in memory");
  product.update = sgd_of(call, param, nullptr, velocity, options);
  if (product.update.count == 0) return;
  Buffer factors[2];
  set_precision(call, precision, product, factors);
  execute(call, kernels().matmul_sgd_update, product);
}

}  // namespace fastnn::eager
