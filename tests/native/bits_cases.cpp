// Every kernel of the contract on fixed numbers, around the widths of vectors, blocks and items, in every manner of
// calling it that has an expression of its own.
#include <iterator>

#include "bits.h"

namespace fastnn::testing {
namespace {

// Around the widths of vectors, of blocks and of items; the last is worth several threads.
const int64_t lengths[] = {1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 100, 255, 1023, 1025, 4099, 40009};
const Shape planes[] = {{1, 7}, {3, 5}, {17, 33}, {40, 67}, {131, 257}};

// ---- products ---------------------------------------------------------------------------------------------------

struct Sides {
  int64_t m, n, k;
};
const Sides products[] = {{1, 1, 1},    {2, 3, 0},    {5, 1, 7},     {1, 40, 300},   {7, 9, 257},    {16, 16, 16},
                          {33, 17, 40}, {64, 64, 64}, {67, 45, 300}, {100, 10, 784}, {33, 257, 515}, {300, 130, 70}};

// Outputs of linear that are few, around the size of its tiles, of a vector and of a chunk of its inputs.
const Sides few_outputs[] = {{1, 1, 128}, {5, 3, 129}, {9, 12, 300}, {33, 10, 784}, {17, 7, 143}, {18, 11, 4097}};

Array matrix(Run& run, DType dtype, int64_t rows, int64_t columns, bool turned) {
  return turned ? run.numbers(dtype, {columns, rows}).turned() : run.numbers(dtype, {rows, columns});
}

void matmul(Run& run) {
  const char* activations[] = {"relu", "sigmoid", "tanh", "gelu"};
  int turn = 0;
  for (DType dtype : {f32, f64}) {
    for (const Sides& sides : products) {
      for (bool across : {false, true}) {
        for (bool down : {false, true}) {
          Array a = matrix(run, dtype, sides.m, sides.k, across), b = matrix(run, dtype, sides.k, sides.n, down);
          Array y = run.numbers(dtype, {sides.m, sides.n}), c = run.numbers(dtype, {sides.m, sides.n});
          Fresh plain, differentiated;
          Argument saved = y.named("y");
          eager::matmul(run.call(), a.named("a"), b.named("b"), nullptr, {}, plain);
          eager::matmul(run.call(), a.named("a"), b.named("b"), &saved,
                        {false, false, -0.375, 0, activations[turn++ % 4]}, differentiated);
          Into onto(c.view);
          eager::matmul(run.call(), a.named("a"), b.named("b"), nullptr, {false, false, 0.3, 0.7}, onto);
          run.keep(plain.array), run.keep(differentiated.array), run.keep(c);
        }
      }
    }
  }
}

void linear(Run& run, DType dtype, const Sides& sides) {
  const char* activations[] = {nullptr, "relu", "sigmoid", "tanh", "gelu"};
  Array x = run.numbers(dtype, {sides.m, sides.k}), weight = run.numbers(dtype, {sides.n, sides.k});
  Array bias = run.numbers(dtype, {sides.n});
  Argument to_bias = bias.named("bias");
  for (const char* activation : activations) {
    for (const Argument* given : {static_cast<const Argument*>(nullptr), static_cast<const Argument*>(&to_bias)}) {
      Fresh y;
      eager::linear(run.call(), x.named("x"), weight.named("weight"), given, activation, y);
      run.keep(y.array);
    }
  }
}

void linear(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (const Sides& sides : products) linear(run, dtype, sides);
    for (const Sides& sides : few_outputs) linear(run, dtype, sides);
  }
}

const eager::SgdOptions descents[] = {
    {{0.1}}, {{0.1}, 0, 0, 0.01}, {{0.1}, 0.9}, {{0.1}, 0.9, 0.1, 0.01}, {{0.1}, 0.9, 0, 0, true}};

void matmul_sgd_update(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (const Sides& sides : products) {
      for (const eager::SgdOptions& options : descents) {
        Array param = run.numbers(dtype, {sides.m, sides.n}), velocity = run.numbers(dtype, {sides.m, sides.n});
        Array a = run.numbers(dtype, {sides.k, sides.m}), b = run.numbers(dtype, {sides.k, sides.n});
        Argument moving = velocity.named("velocity");
        eager::matmul_sgd_update(run.call(), param.named("param"), a.named("a"), b.named("b"),
                                 options.momentum != 0 ? &moving : nullptr, true, false, options);
        run.keep(param), run.keep(velocity);
      }
    }
  }
}

// ---- elementwise ------------------------------------------------------------------------------------------------

template <Kernel<Elementwise> Table<Kernel>::* kernel, eager::Types types, int operands, DType... dtypes>
void elementwise(Run& run) {
  auto apply = [&](const Array(&in)[3]) {
    Fresh out;
    if (operands == 1) eager::elementwise(run.call(), kernels().*kernel, types, {in[0].named("a")}, out);
    if (operands == 2)
      eager::elementwise(run.call(), kernels().*kernel, types, {in[0].named("a"), in[1].named("b")}, out);
    if (operands == 3)
      eager::elementwise(run.call(), kernels().*kernel, types, {in[0].named("a"), in[1].named("b"), in[2].named("c")},
                         out);
    run.keep(out.array);
  };
  for (DType dtype : {dtypes...}) {
    DType first = types == eager::Types::selection ? boolean : dtype;
    for (int64_t n : lengths) apply({run.anything(first, {n}), run.anything(dtype, {n}), run.anything(dtype, {n})});
    for (const Shape& plane : planes) {
      int64_t m = plane[0], n = plane[1];
      apply({run.anything(first, plane), run.anything(dtype, {n}), run.anything(dtype, {m, 1})});
      apply({run.anything(first, {n, m}).turned(), run.anything(dtype, plane), run.anything(dtype, {1})});
    }
  }
}

void cast(Run& run) {
  for (DType from : {f32, f64, i64, i32, u8, boolean}) {
    for (DType to : {f32, f64, i64, i32, u8, boolean}) {
      for (int64_t n : lengths) {
        Array x = is_floating(from) ? run.magnitudes(from, {n}) : run.numbers(from, {n});
        Fresh out;
        eager::cast(run.call(), x.named("x"), to, 1, &n, out);
        run.keep(out.array);
      }
    }
  }
}

// ---- along rows ---------------------------------------------------------------------------------------------------

template <Kernel<Reduce> Table<Kernel>::* kernel, eager::Reducing reducing, DType... dtypes>
void reduce(Run& run) {
  auto apply = [&](const Array& x, std::optional<std::vector<int64_t>> axes) {
    Fresh out;
    eager::reduce(run.call(), kernels().*kernel, reducing, x.named("x"), axes, false, out);
    run.keep(out.array);
  };
  for (DType dtype : {dtypes...}) {
    for (int64_t n : lengths) apply(run.numbers(dtype, {n}), {});
    for (const Shape& plane : planes) {
      for (int64_t axis : {0, 1}) apply(run.numbers(dtype, plane), std::vector<int64_t>{axis});
      apply(run.numbers(dtype, {3, plane[0], plane[1]}), std::vector<int64_t>{1});
      apply(run.numbers(dtype, {plane[1], plane[0], 2}), std::vector<int64_t>{0, 2});
    }
  }
}

// Classes in registers, in several vectors, in several blocks; rows that fill no vector.
const Shape logits_shapes[] = {{1, 1},   {5, 3},    {33, 10},  {70, 16},  {19, 17},
                               {9, 100}, {3, 1000}, {2, 5000}, {3001, 10}};

template <Kernel<Rows> Table<Kernel>::* kernel, bool backward>
void softmax(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (const Shape& shape : logits_shapes) {
      for (int axis : {0, 1}) {
        Array grad = run.numbers(dtype, shape), x = run.numbers(dtype, shape);
        Argument given = grad.named("grad");
        Fresh out;
        eager::softmax(run.call(), kernels().*kernel, backward ? &given : nullptr, x.named("x"), axis, out);
        run.keep(out.array);
      }
    }
  }
}

template <bool with_grad>
void cross_entropy(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (const Shape& shape : logits_shapes) {
      for (const char* reduction : {"mean", "sum", "none"}) {
        for (double smoothing : {0.0, 0.1}) {
          Array logits = run.numbers(dtype, shape), labels = run.labels(shape[0], shape[1]);
          Array weight = run.magnitudes(dtype, {shape[1]}), probabilities = run.magnitudes(dtype, shape);
          for (int64_t i = 1; i < shape[0]; i += 5) labels.as<int64_t>()[i] = -100;
          Integers target = labels.integers("target");
          Argument weighted = weight.named("weight"), soft = probabilities.named("target");
          auto apply = [&](const Integers* hard, const Argument* given_weight) {
            Fresh loss, grad;
            eager::cross_entropy(run.call(), logits.named("logits"), hard, hard ? nullptr : &soft, given_weight,
                                 {-100, smoothing, reduction}, loss, with_grad ? &grad : nullptr);
            run.keep(loss.array);
            if (with_grad) run.keep(grad.array);
          };
          apply(&target, nullptr), apply(&target, &weighted), apply(nullptr, &weighted);
        }
      }
    }
  }
}

template <bool with_grad>
void mse_loss(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (int64_t n : lengths) {
      for (const char* reduction : {"mean", "sum", "none"}) {
        Array prediction = run.numbers(dtype, {n}), target = run.numbers(dtype, {n});
        Fresh loss, grad;
        eager::mse_loss(run.call(), prediction.named("prediction"), target.named("target"), n % 2 == 0, reduction, loss,
                        with_grad ? &grad : nullptr);
        run.keep(loss.array);
        if (with_grad) run.keep(grad.array);
      }
    }
  }
}

void accuracy(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (const Shape& shape : logits_shapes) {
      Array logits = run.anything(dtype, shape), labels = run.labels(shape[0], shape[1]);
      Fresh out;
      eager::accuracy(run.call(), logits.named("logits"), labels.integers("target"), out);
      run.keep(out.array);
    }
  }
}

// ---- updates ------------------------------------------------------------------------------------------------------

void sgd_update(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (int64_t n : lengths) {
      for (const eager::SgdOptions& options : descents) {
        Array param = run.numbers(dtype, {n}), grad = run.numbers(dtype, {n}), velocity = run.numbers(dtype, {n});
        Argument moving = velocity.named("velocity");
        eager::sgd_update(run.call(), param.named("param"), grad.named("grad"),
                          options.momentum != 0 ? &moving : nullptr, options);
        run.keep(param), run.keep(velocity);
      }
    }
  }
}

void adam_update(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (int64_t n : lengths) {
      for (bool decoupled : {false, true}) {
        Array param = run.numbers(dtype, {n}), grad = run.numbers(dtype, {n});
        Array mean = run.numbers(dtype, {n}), square = run.magnitudes(dtype, {n});
        eager::adam_update(run.call(), param.named("param"), grad.named("grad"), mean.named("exp_avg"),
                           square.named("exp_avg_sq"),
                           {{0.001}, {0.271}, {0.002997}, 0.9, 0.999, 1e-8, 0.01, decoupled});
        run.keep(param), run.keep(mean), run.keep(square);
      }
    }
  }
}

// ---- indexing -----------------------------------------------------------------------------------------------------

void gather(Run& run) {
  struct {
    DType from;
    double divisor;
    std::optional<DType> to;
  } const manners[] = {{u8, 255, {}}, {u8, 3, {}},  {u8, 7, f64}, {u8, 1, f32}, {u8, 1, {}},  {f32, 1, {}},
                       {f64, 1, {}},  {f32, 7, {}}, {i64, 1, {}}, {f16, 1, {}}, {f16, 3, f64}};
  for (const auto& manner : manners) {
    for (int64_t width : lengths) {
      if (width > 5000) continue;
      Array data = run.numbers(manner.from, {50, width}), rows = run.labels(77, 50);
      Fresh out;
      eager::gather(run.call(), data.named("data"), rows.integers("indices"), manner.divisor, manner.to, out);
      run.keep(out.array);
    }
  }
}

void scatter_add(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (int64_t width : {1, 3, 16, 33, 127, 129, 1000}) {
      Array grad = run.numbers(dtype, {77, width}), rows = run.labels(77, 50);
      Fresh out;
      eager::scatter_add(run.call(), grad.named("grad"), rows.integers("indices"), 50, out);
      run.keep(out.array);
    }
  }
}

template <bool backward>
void pick(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (int64_t n : lengths) {
      Array rows = run.labels(n, 40), columns = run.labels(n, 13);
      Integers row = rows.integers("rows"), column = columns.integers("columns");
      Fresh out;
      if (backward) eager::pick_backward(run.call(), run.numbers(dtype, {n}).named("grad"), row, column, 40, 13, out);
      else eager::pick(run.call(), run.numbers(dtype, {40, 13}).named("x"), row, column, out);
      run.keep(out.array);
    }
  }
}

void one_hot(Run& run) {
  for (DType dtype : {f32, f64, i64}) {
    for (int64_t classes : {1, 3, 10, 33}) {
      Array labels = run.labels(1025, classes);
      Fresh out;
      eager::one_hot(run.call(), labels.integers("labels"), classes, dtype, out);
      run.keep(out.array);
    }
  }
}

// ---- random numbers -------------------------------------------------------------------------------------------------

constexpr eager::Counter counter{0x0123456789ABCDEF, purpose_user, {0x1p33 + 5}, 3};

void uniform(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (int64_t n : lengths) {
      Fresh out;
      eager::uniform(run.call(), dtype, 1, &n, -0.7, 2.1, counter, out);
      run.keep(out.array);
    }
  }
}

void normal(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (int64_t n : lengths) {
      Fresh out;
      eager::normal(run.call(), dtype, 1, &n, 0.3, 1.7, counter, out);
      run.keep(out.array);
    }
  }
}

void dropout(Run& run) {
  for (DType dtype : {f32, f64}) {
    for (int64_t n : lengths) {
      for (double p : {0.0, 0.3, 0.5, 1.0}) {
        Fresh out;
        eager::dropout(run.call(), run.numbers(dtype, {n}).named("x"), p, counter, out);
        run.keep(out.array);
      }
    }
  }
}

void permutation(Run& run) {
  for (int64_t n : lengths) {
    Fresh out;
    eager::permutation(run.call(), n, counter.seed, static_cast<uint64_t>(n), out);
    run.keep(out.array);
  }
}

using eager::Reducing;
using eager::Types;
using T = KernelTable;

}  // namespace

std::vector<Case> kernel_cases() {
  return {
      {"matmul", matmul},
      {"linear", linear},
      {"matmul_sgd_update", matmul_sgd_update},
      {"add", elementwise<&T::add, Types::arithmetic, 2, f32, f64, i64>},
      {"subtract", elementwise<&T::subtract, Types::arithmetic, 2, f32, f64, i64>},
      {"multiply", elementwise<&T::multiply, Types::arithmetic, 2, f32, f64, i64>},
      {"divide", elementwise<&T::divide, Types::floating, 2, f32, f64>},
      {"maximum", elementwise<&T::maximum, Types::arithmetic, 2, f32, f64, i64>},
      {"minimum", elementwise<&T::minimum, Types::arithmetic, 2, f32, f64, i64>},
      {"negative", elementwise<&T::negative, Types::arithmetic, 1, f32, f64, i64>},
      {"abs", elementwise<&T::abs, Types::arithmetic, 1, f32, f64, i64>},
      {"sign", elementwise<&T::sign, Types::arithmetic, 1, f32, f64, i64>},
      {"sqrt", elementwise<&T::sqrt, Types::floating, 1, f32, f64>},
      {"equal", elementwise<&T::equal, Types::comparison, 2, f32, f64, i64, i32, u8>},
      {"not_equal", elementwise<&T::not_equal, Types::comparison, 2, f32, f64, i64, i32, u8>},
      {"less", elementwise<&T::less, Types::comparison, 2, f32, f64, i64, i32, u8>},
      {"less_equal", elementwise<&T::less_equal, Types::comparison, 2, f32, f64, i64, i32, u8>},
      {"greater", elementwise<&T::greater, Types::comparison, 2, f32, f64, i64, i32, u8>},
      {"greater_equal", elementwise<&T::greater_equal, Types::comparison, 2, f32, f64, i64, i32, u8>},
      {"where", elementwise<&T::where, Types::selection, 3, f32, f64, i64, i32, u8, boolean>},
      {"cast", cast},
      {"exp", elementwise<&T::exp, Types::floating, 1, f32, f64>},
      {"log", elementwise<&T::log, Types::floating, 1, f32, f64>},
      {"power", elementwise<&T::power, Types::floating, 2, f32, f64>},
      {"relu", elementwise<&T::relu, Types::floating, 1, f32, f64>},
      {"sigmoid", elementwise<&T::sigmoid, Types::floating, 1, f32, f64>},
      {"tanh", elementwise<&T::tanh, Types::floating, 1, f32, f64>},
      {"gelu", elementwise<&T::gelu, Types::floating, 1, f32, f64>},
      {"relu_backward", elementwise<&T::relu_backward, Types::floating, 2, f32, f64>},
      {"sigmoid_backward", elementwise<&T::sigmoid_backward, Types::floating, 2, f32, f64>},
      {"tanh_backward", elementwise<&T::tanh_backward, Types::floating, 2, f32, f64>},
      {"gelu_backward", elementwise<&T::gelu_backward, Types::floating, 2, f32, f64>},
      {"sum", reduce<&T::sum, Reducing::sum, f32, f64, i64, boolean>},
      {"mean", reduce<&T::mean, Reducing::mean, f32, f64>},
      {"max", reduce<&T::max, Reducing::extreme, f32, f64, i64>},
      {"min", reduce<&T::min, Reducing::extreme, f32, f64, i64>},
      {"argmax", reduce<&T::argmax, Reducing::position, f32, f64, i64>},
      {"argmin", reduce<&T::argmin, Reducing::position, f32, f64, i64>},
      {"softmax", softmax<&T::softmax, false>},
      {"softmax_backward", softmax<&T::softmax_backward, true>},
      {"log_softmax", softmax<&T::log_softmax, false>},
      {"log_softmax_backward", softmax<&T::log_softmax_backward, true>},
      {"cross_entropy", cross_entropy<false>},
      {"cross_entropy_with_grad", cross_entropy<true>},
      {"mse_loss", mse_loss<false>},
      {"mse_loss_with_grad", mse_loss<true>},
      {"accuracy", accuracy},
      {"sgd_update", sgd_update},
      {"adam_update", adam_update},
      {"gather", gather},
      {"scatter_add", scatter_add},
      {"pick", pick<false>},
      {"pick_backward", pick<true>},
      {"one_hot", one_hot},
      {"uniform", uniform},
      {"normal", normal},
      {"dropout", dropout},
      {"permutation", permutation},
  };
}

}  // namespace fastnn::testing
