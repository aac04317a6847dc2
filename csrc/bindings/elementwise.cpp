// Elementwise kernels and reductions: one line each.
#include "bindings/convert.h"

namespace fastnn::bindings {
namespace {

using eager::Reducing;
using eager::Types;

// Arguments of every elementwise function: its operands, then these.
#define FASTNN_OUT py::kw_only(), py::arg("out") = py::none(), exact("num_threads") = py::none()

using Member = Kernel<Elementwise> KernelTable::*;

void unary(py::module_& m, const char* name, Member kernel, Types types) {
  m.def(
      name,
      [=](const Array& x, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call(name, threads);
        Result result(call, out);
        eager::elementwise(call, kernels().*kernel, types, {argument(call, "x", x)}, result);
        return result.take();
      },
      py::arg("x"), FASTNN_OUT);
}

void binary(py::module_& m, const char* name, Member kernel, Types types, const char* first = "a",
            const char* second = "b") {
  m.def(
      name,
      [=](const Array& a, const Array& b, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call(name, threads);
        Result result(call, out);
        eager::elementwise(call, kernels().*kernel, types, {argument(call, first, a), argument(call, second, b)},
                           result);
        return result.take();
      },
      py::arg(first), py::arg(second), FASTNN_OUT);
}

// None, an integer or, but for positions, a tuple of integers.
std::optional<std::vector<int64_t>> axes_of(const Call& call, const py::object& axis, Reducing kind) {
  if (axis.is_none()) return std::nullopt;
  if (auto one = exactly<int64_t>(axis)) return std::vector<int64_t>{*one};
  if (kind == Reducing::position) raise<TypeError>(call.op, "axis = ", shown(axis), " must be None or an integer");
  if (auto axes = several(axis)) return axes;
  raise<TypeError>(call.op, "axis = ", shown(axis), " must be None, an integer or a tuple of integers");
}

void reduction(py::module_& m, const char* name, Kernel<Reduce> KernelTable::* kernel, Reducing kind) {
  m.def(
      name,
      [=](const Array& x, const py::object& axis, bool keepdims, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call(name, threads);
        Result result(call, out);
        eager::reduce(call, kernels().*kernel, kind, argument(call, "x", x), axes_of(call, axis, kind), keepdims,
                      result);
        return result.take();
      },
      py::arg("x"), py::arg("axis") = py::none(), exact("keepdims") = false, FASTNN_OUT);
}

void softmax(py::module_& m, const char* name, Kernel<Rows> KernelTable::* kernel) {
  m.def(
      name,
      [=](const Array& x, int64_t axis, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call(name, threads);
        Result result(call, out);
        eager::softmax(call, kernels().*kernel, nullptr, argument(call, "x", x), axis, result);
        return result.take();
      },
      py::arg("x"), exact("axis") = -1, FASTNN_OUT);
}

void softmax_backward(py::module_& m, const char* name, Kernel<Rows> KernelTable::* kernel) {
  m.def(
      name,
      [=](const Array& grad, const Array& y, int64_t axis, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call(name, threads);
        Result result(call, out);
        Argument upstream = argument(call, "grad", grad);
        eager::softmax(call, kernels().*kernel, &upstream, argument(call, "y", y), axis, result);
        return result.take();
      },
      py::arg("grad"), py::arg("y"), exact("axis") = -1, FASTNN_OUT);
}

}  // namespace

void bind_elementwise(py::module_& m) {
  binary(m, "add", &KernelTable::add, Types::arithmetic);
  binary(m, "subtract", &KernelTable::subtract, Types::arithmetic);
  binary(m, "multiply", &KernelTable::multiply, Types::arithmetic);
  binary(m, "divide", &KernelTable::divide, Types::floating);
  binary(m, "power", &KernelTable::power, Types::floating);
  binary(m, "maximum", &KernelTable::maximum, Types::arithmetic);
  binary(m, "minimum", &KernelTable::minimum, Types::arithmetic);
  binary(m, "equal", &KernelTable::equal, Types::comparison);
  binary(m, "not_equal", &KernelTable::not_equal, Types::comparison);
  binary(m, "less", &KernelTable::less, Types::comparison);
  binary(m, "less_equal", &KernelTable::less_equal, Types::comparison);
  binary(m, "greater", &KernelTable::greater, Types::comparison);
  binary(m, "greater_equal", &KernelTable::greater_equal, Types::comparison);

  unary(m, "negative", &KernelTable::negative, Types::arithmetic);
  unary(m, "abs", &KernelTable::abs, Types::arithmetic);
  unary(m, "sign", &KernelTable::sign, Types::arithmetic);
  unary(m, "sqrt", &KernelTable::sqrt, Types::floating);
  unary(m, "exp", &KernelTable::exp, Types::floating);
  unary(m, "log", &KernelTable::log, Types::floating);

  unary(m, "relu", &KernelTable::relu, Types::floating);
  unary(m, "sigmoid", &KernelTable::sigmoid, Types::floating);
  unary(m, "tanh", &KernelTable::tanh, Types::floating);
  unary(m, "gelu", &KernelTable::gelu, Types::floating);
  binary(m, "relu_backward", &KernelTable::relu_backward, Types::floating, "grad", "y");
  binary(m, "sigmoid_backward", &KernelTable::sigmoid_backward, Types::floating, "grad", "y");
  binary(m, "tanh_backward", &KernelTable::tanh_backward, Types::floating, "grad", "y");
  binary(m, "gelu_backward", &KernelTable::gelu_backward, Types::floating, "grad", "x");

  m.def(
      "where",
      [](const Array& condition, const Array& a, const Array& b, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("where", threads);
        Result result(call, out);
        eager::elementwise(call, kernels().where, Types::selection,
                           {argument(call, "condition", condition), argument(call, "a", a), argument(call, "b", b)},
                           result);
        return result.take();
      },
      py::arg("condition"), py::arg("a"), py::arg("b"), FASTNN_OUT);

  m.def(
      "cast",
      [](const Array& x, const py::object& dtype, const std::optional<Shape>& shape, const OptionalArray& out,
         Threads threads) {
        PlacedCall call = make_call("cast", threads);
        Argument from = argument(call, "x", x);
        Result result(call, out);
        // What is not said is as in out, or else as in x.
        View like = out ? argument(call, "out", *out).view : from.view;
        std::vector<int64_t> sides =
            shape ? shape_of(call, *shape) : std::vector<int64_t>(like.shape, like.shape + like.rank);
        DType to = dtype.is_none() ? like.dtype : dtype_of(call, dtype);
        eager::cast(call, from, to, static_cast<int>(sides.size()), sides.data(), result);
        return result.take();
      },
      py::arg("x"), py::kw_only(), py::arg("dtype") = py::none(), py::arg("shape") = py::none(),
      py::arg("out") = py::none(), exact("num_threads") = py::none());

  reduction(m, "sum", &KernelTable::sum, Reducing::sum);
  reduction(m, "mean", &KernelTable::mean, Reducing::mean);
  reduction(m, "max", &KernelTable::max, Reducing::extreme);
  reduction(m, "min", &KernelTable::min, Reducing::extreme);
  reduction(m, "argmax", &KernelTable::argmax, Reducing::position);
  reduction(m, "argmin", &KernelTable::argmin, Reducing::position);

  softmax(m, "softmax", &KernelTable::softmax);
  softmax(m, "log_softmax", &KernelTable::log_softmax);
  softmax_backward(m, "softmax_backward", &KernelTable::softmax_backward);
  softmax_backward(m, "log_softmax_backward", &KernelTable::log_softmax_backward);
}

}  // namespace fastnn::bindings
