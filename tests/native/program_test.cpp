// A program repeats its calls with their bits, and allocates nothing while it runs.
#include "engine/program.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "checks.h"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (!memory) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  ++allocations;
  auto step = static_cast<size_t>(alignment);
  void* memory = std::aligned_alloc(step, (size + step - 1) / step * step);
  if (!memory) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

constexpr int64_t rows = 500, batch = 64, inputs = 70, classes = 10;

// Softmax regression by momentum SGD on rows of a data set, through the entry points.
struct Training {
  std::vector<float> data = filled(rows * inputs), weight = filled(classes * inputs), velocity = weight;
  std::vector<float> bias = std::vector<float>(classes), x = std::vector<float>(batch * inputs);
  std::vector<float> logits = std::vector<float>(batch * classes), grad = logits, bias_grad = bias, loss = {0};
  std::vector<int64_t> labels = std::vector<int64_t>(rows), y = std::vector<int64_t>(batch), picked = y;
  double lr = 0.1;

  Training() {
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int64_t>(i * 7 % classes);
  }

  static std::vector<float> filled(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    return values;
  }

  static Integers integers(const std::vector<int64_t>& values, const char* name) {
    return {reinterpret_cast<const std::byte*>(values.data()), 8, true, static_cast<int64_t>(values.size()), 8, name};
  }

  void step(engine::Program* program) {
    auto call = [&](const char* op) { return Call{op, 0, nullptr, program}; };
    View all_labels{reinterpret_cast<std::byte*>(labels.data()), DType::int64, 1, {rows}, {1}};
    Into to_x(view(x, {batch, inputs})), to_logits(view(logits, {batch, classes})),
        to_grad(view(grad, {batch, classes}));
    Into to_loss(view(loss, {})), to_bias(view(bias_grad, {classes})), to_y(all_labels);
    to_y.own.data = reinterpret_cast<std::byte*>(y.data()), to_y.own.shape[0] = batch;
    eager::gather(call("gather"), {view(data, {rows, inputs}), "data"}, integers(picked, "indices"), 1, {}, to_x);
    eager::gather(call("gather"), {all_labels, "data"}, integers(picked, "indices"), 1, {}, to_y);
    Argument to_bias_argument{view(bias, {classes}), "bias"};
    eager::linear(call("linear"), {to_x.own, "x"}, {view(weight, {classes, inputs}), "weight"}, &to_bias_argument,
                  nullptr, to_logits);
    Integers target = integers(y, "target");
    eager::cross_entropy(call("cross_entropy"), {to_logits.own, "logits"}, &target, nullptr, nullptr, {}, to_loss,
                         &to_grad);
    std::vector<int64_t> axes = {0};
    eager::reduce(call("sum"), kernels().sum, eager::Reducing::sum, {to_grad.own, "x"}, axes, false, to_bias);
    Argument moving{view(velocity, {classes, inputs}), "velocity"};
    eager::matmul_sgd_update(call("matmul_sgd_update"), {view(weight, {classes, inputs}), "param"}, {to_grad.own, "a"},
                             {to_x.own, "b"}, &moving, true, false, {{lr, &lr}, 0.9});
    eager::sgd_update(call("sgd_update"), {view(bias, {classes}), "param"}, {to_bias.own, "grad"}, nullptr,
                      {{lr, &lr}});
  }
};

void a_program_has_the_bits_of_its_calls_and_allocates_nothing() {
  constexpr int64_t steps = 100;
  std::vector<int64_t> order(steps * batch);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i * 31 % rows);
  std::vector<double> rates(steps), losses(steps);
  for (size_t i = 0; i < rates.size(); ++i) rates[i] = 0.1 / static_cast<double>(i + 1);

  Training eager, native;
  engine::Program program({view(native.loss, {})});
  native.step(&program);
  engine::Steps first{1, order.data(), batch, native.picked.data(), {&native.lr}, rates.data(), losses.data()};
  program.run(first, 2);  // lays out what it needs for two threads
  engine::Steps rest{steps - 1,        order.data() + batch, batch, native.picked.data(), {&native.lr},
                     rates.data() + 1, losses.data() + 1};
  int64_t before = allocations;
  program.run(rest, 2);
  CHECK(allocations == before);

  for (int64_t i = 0; i < steps; ++i) {
    std::memcpy(eager.picked.data(), order.data() + i * batch, batch * 8);
    eager.lr = rates[static_cast<size_t>(i)];
    eager.step(nullptr);
    CHECK(losses[static_cast<size_t>(i)] == static_cast<double>(eager.loss[0]));
  }
  CHECK(std::memcmp(eager.weight.data(), native.weight.data(), eager.weight.size() * sizeof(float)) == 0);
  CHECK(losses.back() < losses.front());
}

void a_label_outside_the_classes_ends_a_run_before_anything_is_updated() {
  Training native;
  engine::Program program({});
  native.step(&program);
  native.labels[3] = classes;
  std::vector<float> before = native.weight;
  std::vector<int64_t> order(batch, 3);
  std::string message = message_of<ValueError>([&] {
    engine::Steps steps{1, order.data(), batch, native.picked.data(), {}, nullptr, nullptr};
    program.run(steps, 1);
  });
  CHECK(message == "[cross_entropy] target[0] = 10 is not a class index: there are 10 classes, 0 to 9");
  CHECK(before == native.weight);
}

}  // namespace

int main() {
  a_program_has_the_bits_of_its_calls_and_allocates_nothing();
  a_label_outside_the_classes_ends_a_run_before_anything_is_updated();
  return report();
}
