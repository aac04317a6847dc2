// Hot paths, each run once within `measured`, whose instructions instructions.py has counted by callgrind. Prints the
// compiler, then the names in the order in which they are measured. On one thread: waking others is left out.
#include <cstdio>
#include <functional>
#include <memory>

#include "arrays.h"

extern "C" [[gnu::noinline]] void measured(const std::function<void()>& path) { path(); }

namespace {

using namespace fastnn;
using namespace fastnn::testing;

Source source{42};

// The first run warms up: memory is taken, and pages are touched.
void measure(const char* name, const std::function<void()>& path) {
  path();
  measured(path);
  std::printf("%s\n", name);
}

// ---- kernels, called as from Python -----------------------------------------------------------------------------

void product(const char* name, int64_t m, int64_t k, int64_t n) {
  Array x = source.numbers(f32, {m, k}), weight = source.numbers(f32, {n, k}), y(f32, {m, n});
  Into out(y.view);
  measure(name, [&] { eager::matmul({"matmul", 1}, x.named("a"), weight.named("b"), nullptr, {false, true}, out); });
}

void loss(const char* name, int64_t rows, int64_t classes) {
  Array logits = source.numbers(f32, {rows, classes}), labels = source.labels(rows, classes);
  Array mean(f32, {}), grad(f32, {rows, classes});
  Integers target = labels.integers("target");
  Into to_mean(mean.view), to_grad(grad.view);
  measure(name, [&] {
    eager::cross_entropy({"cross_entropy_with_grad", 1}, logits.named("logits"), &target, nullptr, nullptr, {}, to_mean,
                         &to_grad);
  });
}

void update(const char* name, int64_t size) {
  Array param = source.numbers(f32, {size}), grad = source.numbers(f32, {size}), velocity(f32, {size});
  Argument moving = velocity.named("velocity");
  measure(name, [&] {
    eager::sgd_update({"sgd_update", 1}, param.named("param"), grad.named("grad"), &moving, {{1e-3}, 0.9});
  });
}

void gather(const char* name, int64_t rows, int64_t width, int64_t count) {
  Array images = source.numbers(u8, {rows, width}), picked = source.labels(count, rows), x(f32, {count, width});
  Into out(x.view);
  measure(name, [&] { eager::gather({"gather", 1}, images.named("data"), picked.integers("indices"), 255, {}, out); });
}

// ---- training steps, as the engine runs them --------------------------------------------------------------------

// A multilayer perceptron with ReLU: squared error where it has one output, else cross-entropy on images. The kernels
// are those of a recorded and fused step (`print(trainer.plan)`).
struct Step {
  Shape widths;
  int64_t batch, rows = 1000;
  Array data, targets, picked{i64, {batch}}, target, loss{f32, {}};
  std::vector<Array> weights, biases, activations, gradients, bias_gradients;
  double lr = 0.1;
  engine::Program program{{loss.view}};

  Step(Shape sides, int64_t batch_size) : widths(std::move(sides)), batch(batch_size) {
    bool regression = widths.back() == 1;
    data = source.numbers(regression ? f32 : u8, {rows, widths[0]});
    targets = regression ? source.numbers(f32, {rows, 1}) : source.labels(rows, widths.back());
    target = regression ? Array(f32, {batch, 1}) : Array(i64, {batch});
    for (size_t i = 0; i < widths.size(); ++i) {
      activations.emplace_back(f32, Shape{batch, widths[i]});
      gradients.emplace_back(f32, Shape{batch, widths[i]});
      if (i == 0) continue;
      weights.push_back(source.numbers(f32, {widths[i], widths[i - 1]}));
      biases.push_back(source.numbers(f32, {widths[i]}));
      bias_gradients.emplace_back(f32, Shape{widths[i]});
    }
    record(regression);
  }

  Call call(const char* op) { return {op, 1, nullptr, &program}; }

  void record(bool regression) {
    size_t layers = weights.size();
    Integers rows_picked = picked.integers("indices");
    Into x(activations[0].view), y(target.view), to_loss(loss.view), to_gradient(gradients[layers].view);
    eager::gather(call("gather"), targets.named("data"), rows_picked, 1, {}, y);
    eager::gather(call("gather"), data.named("data"), rows_picked, regression ? 1 : 255, {}, x);
    for (size_t i = 0; i < layers; ++i) {
      Argument bias = biases[i].named("bias");
      Into out(activations[i + 1].view);
      eager::linear(call("linear"), activations[i].named("x"), weights[i].named("weight"), &bias,
                    i + 1 < layers ? "relu" : nullptr, out);
    }
    Argument result = activations[layers].named("prediction");
    if (regression) {
      eager::mse_loss(call("mse_loss_with_grad"), result, target.named("target"), false, "mean", to_loss, &to_gradient);
    } else {
      Integers labels = target.integers("target");
      eager::cross_entropy(call("cross_entropy_with_grad"), result, &labels, nullptr, nullptr, {}, to_loss,
                           &to_gradient);
    }
    for (size_t i = layers; i-- > 0;) {
      Argument gradient = gradients[i + 1].named("grad"), y_before = activations[i].named("y");
      Into to_bias(bias_gradients[i].view), before(gradients[i].view);
      eager::reduce(call("sum"), kernels().sum, eager::Reducing::sum, gradient, std::vector<int64_t>{0}, false,
                    to_bias);
      if (i > 0) {
        eager::matmul(call("matmul"), gradient, weights[i].named("b"), &y_before, {false, false, 1, 0, "relu"}, before);
      }
      eager::matmul_sgd_update(call("matmul_sgd_update"), weights[i].named("param"), gradient,
                               activations[i].named("b"), nullptr, true, false, {{lr, &lr}});
      eager::sgd_update(call("sgd_update"), biases[i].named("param"), bias_gradients[i].named("grad"), nullptr,
                        {{lr, &lr}});
    }
  }
};

void training_step(const char* name, Shape widths, int64_t batch) {
  Step step(std::move(widths), batch);
  Array order = source.labels(batch, step.rows);
  double loss = 0;
  engine::Steps once{1, order.as<int64_t>(), batch, step.picked.as<int64_t>(), {}, nullptr, &loss};
  measure(name, [&] { step.program.run(once, 1); });
}

}  // namespace

int main() {
#if defined(__clang__)
  std::printf("Clang %d\n", __clang_major__);
#else
  std::printf("GCC %d\n", __GNUC__);
#endif
  training_step("training step, linear 2-1, batch 32", {2, 1}, 32);
  training_step("training step, softmax 784-10, batch 256", {784, 10}, 256);
  training_step("training step, MLP 784-256-10, batch 32", {784, 256, 10}, 32);
  product("product, 64x64x64", 64, 64, 64);
  product("product, 256x784x256", 256, 784, 256);
  loss("softmax + cross-entropy with gradient, 256x10", 256, 10);
  update("sgd update with momentum, 10000", 10000);
  gather("gather of uint8 as float32, 256x784", 1000, 784, 256);
}
