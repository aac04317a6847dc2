// Products, losses, updates, indexing and random numbers.
#include "bindings/convert.h"

namespace fastnn::bindings {
namespace {

#define FASTNN_THREADS exact("num_threads") = py::none()
#define FASTNN_PRECISION py::arg("precision") = py::none()
#define FASTNN_OUT py::arg("out") = py::none(), FASTNN_THREADS

const Argument* pointer(const std::optional<Argument>& argument) { return argument ? &*argument : nullptr; }

// The places of two results, where the caller gives them.
using OptionalPair = std::optional<Pair>;
OptionalArray first(const OptionalPair& pair) { return pair ? OptionalArray(pair->first) : std::nullopt; }
OptionalArray second(const OptionalPair& pair) { return pair ? OptionalArray(pair->second) : std::nullopt; }

const char* text(const std::optional<Name>& name) { return name ? name->text : nullptr; }

void bind_products(py::module_& m) {
  m.def(
      "matmul",
      [](const Array& a, const Array& b, const OptionalArray& y, bool transpose_a, bool transpose_b, double alpha,
         double beta, const std::optional<Name>& backward, const std::optional<Name>& precision,
         const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("matmul", threads);
        Result result(call, out);
        std::optional<Argument> saved = optional_argument(call, "y", y);
        eager::matmul(call, argument(call, "a", a), argument(call, "b", b), pointer(saved),
                      {transpose_a, transpose_b, alpha, beta, text(backward), text(precision)}, result);
        return result.take();
      },
      py::arg("a"), py::arg("b"), py::arg("y") = py::none(), py::kw_only(), exact("transpose_a") = false,
      exact("transpose_b") = false, py::arg("alpha") = 1.0, py::arg("beta") = 0.0, py::arg("backward") = py::none(),
      FASTNN_PRECISION, FASTNN_OUT);

  m.def(
      "linear",
      [](const Array& x, const Array& weight, const OptionalArray& bias, const std::optional<Name>& activation,
         const std::optional<Name>& precision, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("linear", threads);
        Result result(call, out);
        std::optional<Argument> b = optional_argument(call, "bias", bias);
        eager::linear(call, argument(call, "x", x), argument(call, "weight", weight), pointer(b), text(activation),
                      result, text(precision));
        return result.take();
      },
      py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(), py::arg("activation") = py::none(), py::kw_only(),
      FASTNN_PRECISION, FASTNN_OUT);

  m.def(
      "explain_product",
      [](const Array& a, const Array& b, bool transpose_a, bool transpose_b, bool linear) {
        PlacedCall call = make_call("explain_product", std::nullopt);
        return eager::explain_product(call, argument(call, "a", a), argument(call, "b", b), transpose_a, transpose_b,
                                      linear);
      },
      py::arg("a"), py::arg("b"), py::kw_only(), exact("transpose_a") = false, exact("transpose_b") = false,
      exact("linear") = false,
      "How `matmul`, or `linear`, goes about these shapes and strides, in words; see fastnn.kernels.explain_product.");
}

// The loss, and the gradient where asked for.
void cross_entropy(PlacedCall& call, const Array& logits, const Array& target, const OptionalArray& weight,
                   int64_t ignore_index, double label_smoothing, Name reduction, Result& loss, Result* grad) {
  std::optional<Argument> w = optional_argument(call, "weight", weight);
  eager::CrossEntropyOptions options{ignore_index, label_smoothing, reduction.text};
  Argument x = argument(call, "logits", logits);
  if (holds_integers(target)) {
    Integers labels = integers(call, "target", target);
    eager::cross_entropy(call, x, &labels, nullptr, pointer(w), options, loss, grad);
  } else {
    Argument probabilities = argument(call, "target", target);
    if (probabilities.view.rank == 1)
      raise<TypeError>(call.op, "target is ", name_of(probabilities.view.dtype), " of shape ",
                       ShapeOf(probabilities.view), "; class indices must be integers, probabilities (n, classes)");
    eager::cross_entropy(call, x, nullptr, &probabilities, pointer(w), options, loss, grad);
  }
}

void bind_losses(py::module_& m) {
  m.def(
      "cross_entropy",
      [](const Array& logits, const Array& target, const OptionalArray& weight, int64_t ignore_index,
         double label_smoothing, Name reduction, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("cross_entropy", threads);
        Result loss(call, out);
        cross_entropy(call, logits, target, weight, ignore_index, label_smoothing, reduction, loss, nullptr);
        return loss.take();
      },
      py::arg("logits"), py::arg("target"), py::arg("weight") = py::none(), py::kw_only(), exact("ignore_index") = -100,
      py::arg("label_smoothing") = 0.0, py::arg("reduction") = Name{"mean"}, FASTNN_OUT);

  m.def(
      "cross_entropy_with_grad",
      [](const Array& logits, const Array& target, const OptionalArray& weight, int64_t ignore_index,
         double label_smoothing, Name reduction, const OptionalPair& out, Threads threads) {
        PlacedCall call = make_call("cross_entropy", threads);
        Result loss(call, first(out)), grad(call, second(out));
        cross_entropy(call, logits, target, weight, ignore_index, label_smoothing, reduction, loss, &grad);
        return py::make_tuple(loss.take(), grad.take());
      },
      py::arg("logits"), py::arg("target"), py::arg("weight") = py::none(), py::kw_only(), exact("ignore_index") = -100,
      py::arg("label_smoothing") = 0.0, py::arg("reduction") = Name{"mean"}, FASTNN_OUT);

  m.def(
      "mse_loss",
      [](const Array& prediction, const Array& target, bool half, Name reduction, const OptionalArray& out,
         Threads threads) {
        PlacedCall call = make_call("mse_loss", threads);
        Result loss(call, out);
        eager::mse_loss(call, argument(call, "prediction", prediction), argument(call, "target", target), half,
                        reduction.text, loss, nullptr);
        return loss.take();
      },
      py::arg("prediction"), py::arg("target"), py::kw_only(), exact("half") = false,
      py::arg("reduction") = Name{"mean"}, FASTNN_OUT);

  m.def(
      "mse_loss_with_grad",
      [](const Array& prediction, const Array& target, bool half, Name reduction, const OptionalPair& out,
         Threads threads) {
        PlacedCall call = make_call("mse_loss", threads);
        Result loss(call, first(out)), grad(call, second(out));
        eager::mse_loss(call, argument(call, "prediction", prediction), argument(call, "target", target), half,
                        reduction.text, loss, &grad);
        return py::make_tuple(loss.take(), grad.take());
      },
      py::arg("prediction"), py::arg("target"), py::kw_only(), exact("half") = false,
      py::arg("reduction") = Name{"mean"}, FASTNN_OUT);

  m.def(
      "accuracy",
      [](const Array& logits, const Array& target, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("accuracy", threads);
        Result result(call, out);
        eager::accuracy(call, argument(call, "logits", logits), integers(call, "target", target), result);
        return result.take();
      },
      py::arg("logits"), py::arg("target"), py::kw_only(), FASTNN_OUT);
}

void bind_updates(py::module_& m) {
  m.def(
      "sgd_update",
      [](const Array& param, const Array& grad, const OptionalArray& velocity, Number lr, double momentum,
         double dampening, double weight_decay, bool nesterov, Threads threads) {
        PlacedCall call = make_call("sgd_update", threads);
        std::optional<Argument> v;
        if (velocity) v = writable(call, "velocity", *velocity);
        eager::sgd_update(call, writable(call, "param", param), argument(call, "grad", grad), pointer(v),
                          {lr, momentum, dampening, weight_decay, nesterov});
      },
      py::arg("param"), py::arg("grad"), py::arg("velocity") = py::none(), py::kw_only(), py::arg("lr"),
      py::arg("momentum") = 0.0, py::arg("dampening") = 0.0, py::arg("weight_decay") = 0.0, exact("nesterov") = false,
      FASTNN_THREADS);

  m.def(
      "matmul_sgd_update",
      [](const Array& param, const Array& a, const Array& b, const OptionalArray& velocity, bool transpose_a,
         bool transpose_b, Number lr, double momentum, double dampening, double weight_decay, bool nesterov,
         const std::optional<Name>& precision, Threads threads) {
        PlacedCall call = make_call("matmul_sgd_update", threads);
        std::optional<Argument> v;
        if (velocity) v = writable(call, "velocity", *velocity);
        eager::matmul_sgd_update(call, writable(call, "param", param), argument(call, "a", a), argument(call, "b", b),
                                 pointer(v), transpose_a, transpose_b,
                                 {lr, momentum, dampening, weight_decay, nesterov}, text(precision));
      },
      py::arg("param"), py::arg("a"), py::arg("b"), py::arg("velocity") = py::none(), py::kw_only(),
      exact("transpose_a") = false, exact("transpose_b") = false, py::arg("lr"), py::arg("momentum") = 0.0,
      py::arg("dampening") = 0.0, py::arg("weight_decay") = 0.0, exact("nesterov") = false, FASTNN_PRECISION,
      FASTNN_THREADS);

  m.def(
      "adam_update",
      [](const Array& param, const Array& grad, const Array& exp_avg, const Array& exp_avg_sq, Number lr,
         Number correction1, Number correction2, double beta1, double beta2, double eps, double weight_decay,
         bool decoupled, Threads threads) {
        PlacedCall call = make_call("adam_update", threads);
        eager::adam_update(call, writable(call, "param", param), argument(call, "grad", grad),
                           writable(call, "exp_avg", exp_avg), writable(call, "exp_avg_sq", exp_avg_sq),
                           {lr, correction1, correction2, beta1, beta2, eps, weight_decay, decoupled});
      },
      py::arg("param"), py::arg("grad"), py::arg("exp_avg"), py::arg("exp_avg_sq"), py::kw_only(), py::arg("lr"),
      py::arg("correction1"), py::arg("correction2"), py::arg("beta1") = 0.9, py::arg("beta2") = 0.999,
      py::arg("eps") = 1e-8, py::arg("weight_decay") = 0.0, exact("decoupled") = false, FASTNN_THREADS);
}

void bind_indexing(py::module_& m) {
  m.def(
      "gather",
      [](const Array& data, const Array& indices, double divisor, const py::object& dtype, const OptionalArray& out,
         Threads threads) {
        PlacedCall call = make_call("gather", threads);
        Result result(call, out);
        std::optional<DType> to;
        if (!dtype.is_none()) to = dtype_of(call, dtype);
        eager::gather(call, argument(call, "data", data, true), integers(call, "indices", indices), divisor, to,
                      result);
        return result.take();
      },
      py::arg("data"), py::arg("indices"), py::kw_only(), py::arg("divisor") = 1.0, py::arg("dtype") = py::none(),
      FASTNN_OUT);

  m.def(
      "scatter_add",
      [](const Array& grad, const Array& indices, int64_t num_rows, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("scatter_add", threads);
        Result result(call, out);
        eager::scatter_add(call, argument(call, "grad", grad), integers(call, "indices", indices), num_rows, result);
        return result.take();
      },
      py::arg("grad"), py::arg("indices"), py::kw_only(), exact("num_rows"), FASTNN_OUT);

  m.def(
      "pick",
      [](const Array& x, const Array& rows, const Array& columns, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("pick", threads);
        Result result(call, out);
        eager::pick(call, argument(call, "x", x), integers(call, "rows", rows), integers(call, "columns", columns),
                    result);
        return result.take();
      },
      py::arg("x"), py::arg("rows"), py::arg("columns"), py::kw_only(), FASTNN_OUT);

  m.def(
      "pick_backward",
      [](const Array& grad, const Array& rows, const Array& columns, const Shape& shape, const OptionalArray& out,
         Threads threads) {
        PlacedCall call = make_call("pick_backward", threads);
        Result result(call, out);
        std::vector<int64_t> sides = shape_of(call, shape);
        if (sides.size() != 2) raise<ValueError>(call.op, "shape has ", sides.size(), " dimensions, not 2");
        eager::pick_backward(call, argument(call, "grad", grad), integers(call, "rows", rows),
                             integers(call, "columns", columns), sides[0], sides[1], result);
        return result.take();
      },
      py::arg("grad"), py::arg("rows"), py::arg("columns"), py::kw_only(), py::arg("shape"), FASTNN_OUT);

  m.def(
      "one_hot",
      [](const Array& labels, int64_t num_classes, const py::object& dtype, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("one_hot", threads);
        Result result(call, out);
        place(call, "labels", labels);
        eager::one_hot(call, integers(call, "labels", labels), num_classes, dtype_of(call, dtype), result);
        return result.take();
      },
      py::arg("labels"), exact("num_classes"), py::kw_only(), py::arg("dtype") = "float32", FASTNN_OUT);
}

void bind_random(py::module_& m) {
  auto random = [&m](const char* name, const char* first, const char* second, decltype(eager::uniform)* entry) {
    m.def(
        name,
        [=](const Shape& shape, double first_value, double second_value, uint64_t seed, uint32_t purpose, Number step,
            uint32_t ordinal, const py::object& dtype, const OptionalArray& out, Threads threads) {
          PlacedCall call = make_call(name, threads);
          Result result(call, out);
          std::vector<int64_t> sides = shape_of(call, shape);
          entry(call, dtype_of(call, dtype), static_cast<int>(sides.size()), sides.data(), first_value, second_value,
                {seed, purpose, step, ordinal}, result);
          return result.take();
        },
        py::arg("shape"), py::kw_only(), py::arg(first) = 0.0, py::arg(second) = 1.0, exact("seed"),
        exact("purpose") = 0, py::arg("step") = Number{0}, exact("ordinal") = 0, py::arg("dtype") = "float32",
        FASTNN_OUT);
  };
  random("uniform", "low", "high", eager::uniform);
  random("normal", "mean", "std", eager::normal);

  m.def(
      "dropout",
      [](const Array& x, double p, uint64_t seed, uint32_t purpose, Number step, uint32_t ordinal,
         const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("dropout", threads);
        Result result(call, out);
        eager::dropout(call, argument(call, "x", x), p, {seed, purpose, step, ordinal}, result);
        return result.take();
      },
      py::arg("x"), py::kw_only(), py::arg("p"), exact("seed"), exact("purpose") = 2, py::arg("step") = Number{0},
      exact("ordinal") = 0, FASTNN_OUT);

  m.def(
      "permutation",
      [](int64_t n, uint64_t seed, uint64_t epoch, const OptionalArray& out, Threads threads) {
        PlacedCall call = make_call("permutation", threads);
        Result result(call, out);
        eager::permutation(call, n, seed, epoch, result);
        return result.take();
      },
      exact("n"), py::kw_only(), exact("seed"), exact("epoch") = 0, FASTNN_OUT);
}

}  // namespace

void bind_training(py::module_& m) {
  bind_products(m);
  bind_losses(m);
  bind_updates(m);
  bind_indexing(m);
  bind_random(m);
}

}  // namespace fastnn::bindings
