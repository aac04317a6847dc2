#include <cstring>

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

Activation activation_of(const Call& call, const char* name) {
  if (!name) return Activation::none;
  constexpr const char* names[] = {"relu", "sigmoid", "tanh", "gelu"};
  for (int i = 0; i < 4; ++i)
    if (std::strcmp(name, names[i]) == 0) return static_cast<Activation>(i + 1);
  raise<ValueError>(call.op, "activation = '", name, "' must be None, 'relu', 'sigmoid', 'tanh' or 'gelu'");
}

}  // namespace

void matmul(const Call& call, Argument a, Argument b, const MatmulOptions& options, Output& output) {
  require_rank(call, a, 2);
  require_rank(call, b, 2);
  require_dtype(call, a, {DType::float32, DType::float64});
  require_same_dtype(call, a, b);
  require_finite(call, "alpha", options.alpha, a.view.dtype);
  require_finite(call, "beta", options.beta, a.view.dtype);
  if (options.beta != 0 && !output.given) raise<ValueError>(call.op, "beta = ", options.beta, " needs out");
  Matrix left(a.view, options.transpose_a), right(b.view, options.transpose_b);
  if (left.columns != right.rows)
    raise<ValueError>(call.op, "a is (", left.rows, ", ", left.columns, ") but b is (", right.rows, ", ", right.columns,
                      "): a's columns must equal b's rows");
  int64_t shape[] = {left.rows, right.columns};
  View out = output.place(call, a.view.dtype, 2, shape);
  require_rows(call, out);
  require_apart(call, out, {&a, &b});
  if (count_of(out) == 0) return;
  Product product{a.view.dtype,  shape[0],     shape[1],  left.columns,    a.view.data, left.row,
                  left.column,   b.view.data,  right.row, right.column,    out.data,    out.strides[0],
                  options.alpha, options.beta, nullptr,   Activation::none};
  execute(call, kernels().matmul, product);
}

void linear(const Call& call, Argument x, Argument weight, const Argument* bias, const char* activation,
            Output& output) {
  require_rank(call, x, 2);
  require_rank(call, weight, 2);
  require_dtype(call, x, {DType::float32, DType::float64});
  require_same_dtype(call, x, weight);
  Activation act = activation_of(call, activation);
  int64_t shape[] = {x.view.shape[0], weight.view.shape[0]};
  if (x.view.shape[1] != weight.view.shape[1])
    raise<ValueError>(call.op, "x is ", ShapeOf(x.view), " but weight is ", ShapeOf(weight.view),
                      ": x must have as many columns as weight");
  if (bias) {
    require_same_dtype(call, x, *bias);
    require_shape(call, *bias, {shape[1]}, ", one per row of weight");
  }
  View out = output.place(call, x.view.dtype, 2, shape);
  require_rows(call, out);
  require_apart(call, out, {&x, &weight, bias});
  if (count_of(out) == 0) return;
  Buffer bias_memory;
  View b = bias ? made_contiguous(call, bias->view, bias_memory) : View{};
  Matrix left(x.view, false), right(weight.view, true);
  Product product{x.view.dtype,
                  shape[0],
                  shape[1],
                  left.columns,
                  x.view.data,
                  left.row,
                  left.column,
                  weight.view.data,
                  right.row,
                  right.column,
                  out.data,
                  out.strides[0],
                  1,
                  0,
                  bias ? b.data : nullptr,
                  act};
  execute(call, kernels().linear, product);
}

}  // namespace fastnn::eager
