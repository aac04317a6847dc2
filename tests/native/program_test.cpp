// A program repeats its calls with their bits, and allocates nothing while it runs.
#include "engine/program.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "checks.h"
#include "engine/layer.h"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (!memory) throw std::bad_alloc();
  return memory;
}
// Before an aligned block stands where the memory begins that it is part of: not every C library has aligned_alloc.
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  auto step = static_cast<size_t>(alignment);
  void* memory = ::operator new(size + step + sizeof(void*));
  void* after = static_cast<void**>(memory) + 1;
  size_t room = size + step;
  void* block = std::align(step, size, after, room);
  static_cast<void**>(block)[-1] = memory;
  return block;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* block, std::align_val_t) noexcept {
  std::free(static_cast<void**>(block)[-1]);
}
[[gnu::noinline]] void operator delete(void* block, size_t, std::align_val_t alignment) noexcept {
  ::operator delete(block, alignment);
}

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

void results_are_read_in_every_dtype() {
  float single = 1.5f;
  double wide = -2.5;
  int64_t large = int64_t{1} << 40;
  int32_t small = -4;
  uint8_t byte = 200, truth = 1;
  auto scalar = [](auto& value, DType dtype) { return View{reinterpret_cast<std::byte*>(&value), dtype, 0, {}, {}}; };
  engine::Program program({scalar(single, DType::float32), scalar(wide, DType::float64), scalar(large, DType::int64),
                           scalar(small, DType::int32), scalar(byte, DType::uint8), scalar(truth, DType::boolean)});
  double results[6] = {};
  engine::Steps once;
  once.count = 1, once.results = results;
  program.run(once, 1);
  const double expected[] = {1.5, -2.5, 0x1p40, -4, 200, 1};
  CHECK(std::equal(std::begin(results), std::end(results), expected));
}

struct Place {
  int64_t offset;
  std::vector<int64_t> shape, strides;
};

View view_at(std::vector<float>& memory, const Place& place) {
  View view = contiguous_view(reinterpret_cast<std::byte*>(memory.data() + place.offset), DType::float32,
                              static_cast<int>(place.shape.size()), place.shape.data());
  std::copy(place.strides.begin(), place.strides.end(), view.strides);
  return view;
}

// Runs (a, b, out) triples, sums and products in turn, one by one and as a program; the memory has to be the same.
void check_elementwise(const std::vector<std::array<Place, 3>>& kernels_of_places) {
  std::vector<float> expected = Training::filled(400000), memory = expected;
  engine::Program program({});
  for (bool eager_call : {true, false}) {
    std::vector<float>& own = eager_call ? expected : memory;
    for (size_t i = 0; i < kernels_of_places.size(); ++i) {
      const auto& [a, b, out] = kernels_of_places[i];
      Into to(view_at(own, out));
      Call call{"test", 0, nullptr, eager_call ? nullptr : &program};
      eager::elementwise(call, i % 2 ? kernels().multiply : kernels().add, eager::Types::arithmetic,
                         {{view_at(own, a), "a"}, {view_at(own, b), "b"}}, to);
    }
  }
  engine::Steps once;
  once.count = 1;
  program.run(once, 2);
  CHECK(std::memcmp(expected.data(), memory.data(), memory.size() * sizeof(float)) == 0);
}

void chained_kernels_have_the_bits_of_single_ones_wherever_their_memory_lies() {
  constexpr int64_t n = 50000;
  auto flat = [](int64_t offset) { return Place{offset, {n}, {1}}; };
  for (int64_t shift : {0, 1, 7, 4096, 20000, 50000}) {
    check_elementwise({{{flat(0), flat(100000), flat(200000)}}, {{flat(200000), flat(100000), flat(shift)}}});
    check_elementwise({{{flat(0), flat(100000), flat(200000)}}, {{flat(200000 + shift), flat(0), flat(350000)}}});
    check_elementwise({{{flat(0), flat(0), flat(100000)}}, {{flat(0), flat(0), flat(100000 + shift)}}});
    Place one{200000 + shift, {}, {}};  // an element that is made on the way
    check_elementwise({{{flat(0), flat(100000), flat(200000)}}, {{flat(0), one, flat(350000)}}});
  }
}

void chained_kernels_broadcast_along_rows_and_columns() {
  constexpr int64_t m = 200, n = 130;
  Place x{0, {m, n}, {n, 1}}, y{50000, {m, n}, {n, 1}}, wide{100000, {m, n}, {n + 5, 1}};
  Place row{150000, {n}, {1}}, column{160000, {m, 1}, {1, 1}}, turned{170000, {m, n}, {1, m}};
  check_elementwise({{{x, row, y}}, {{y, column, wide}}, {{wide, x, y}}, {{y, y, x}}});
  check_elementwise({{{x, x, y}}, {{y, row, x}}, {{x, turned, y}}, {{y, column, wide}}});
  Place row_of_y{50000 + 3 * n, {n}, {1}};  // made by the kernel before
  check_elementwise({{{x, x, y}}, {{x, row_of_y, wide}}});
  Place wider_y{50000, {m, n}, {n + 5, 1}};  // its rows lie in others of the kernel before
  check_elementwise({{{x, x, y}}, {{wider_y, x, wide}}});
  Place askew{170000, {m, n}, {1, m + 1}};
  check_elementwise({{{x, x, turned}}, {{askew, x, wide}}});
  Place mirrored{n - 1, {m, n}, {n, -1}};
  check_elementwise({{{x, row, wide}}, {{mirrored, x, wide}}});
  Place wide_transposed{200000, {n, m}, {m + 5, 1}}, x_as_transposed{0, {n, m}, {m, 1}};  // as many, in other rows
  check_elementwise({{{x, row, wide}}, {{x_as_transposed, x_as_transposed, wide_transposed}}});
  Place one{0, {}, {}}, two{1, {}, {}};
  check_elementwise({{{one, one, two}}, {{two, one, one}}});
}

template <class Arguments>
void add(std::vector<std::unique_ptr<engine::Node>>& nodes, const Kernel<Arguments>& kernel,
         const Arguments& arguments) {
  nodes.push_back(std::make_unique<engine::KernelNode<Arguments>>(kernel, arguments));
}

// How many of the three kernels are left where a layer of these sides gathers its rows and ends in a loss.
size_t kernels_of_layer(int64_t k, int64_t n, DType data_dtype, double divisor) {
  constexpr int64_t m = 64;
  std::vector<float> x(m * k), weight(n * k), logits(m * n), grad(m * n), loss(1);
  std::vector<std::byte> data(m * k * sizeof(float));
  std::vector<int64_t> indices(m), labels(m);
  Product product{};
  product.dtype = DType::float32, product.m = m, product.n = n, product.k = k, product.alpha = 1;
  product.a = x.data(), product.a_row = k, product.a_column = 1;
  product.b = weight.data(), product.b_row = 1, product.b_column = k;
  product.c = logits.data(), product.c_row = n;
  CrossEntropy entropy{};
  entropy.dtype = DType::float32, entropy.rows = m, entropy.classes = n, entropy.reduction = Reduction::mean;
  entropy.logits = logits.data(), entropy.labels = labels.data(), entropy.loss = loss.data(),
  entropy.grad = grad.data();
  std::vector<std::unique_ptr<engine::Node>> nodes, made;
  add(nodes, kernels().gather,
      {data_dtype, DType::float32, k, m, data.data(), m, k, indices.data(), divisor, x.data()});
  add(nodes, kernels().linear, product);
  add(nodes, kernels().cross_entropy_with_grad, entropy);
  return engine::with_layers(nodes, made).size();
}

void layers_take_their_neighbours_in() {
  CHECK(kernels_of_layer(784, 10, DType::float32, 1) == 1);
  CHECK(kernels_of_layer(784, 10, DType::uint8, 255) == (kernels().fused_multiply_add ? 1 : 2));  // else by division
  CHECK(kernels_of_layer(785, 10, DType::uint8, 255) == 2);  // not of whole vectors
  CHECK(kernels_of_layer(784, 10, DType::float16, 1) == 2);
  CHECK(kernels_of_layer(64, 10, DType::uint8, 255) == 2);  // rows are packed
}

}  // namespace

int main() {
  layers_take_their_neighbours_in();
  chained_kernels_have_the_bits_of_single_ones_wherever_their_memory_lies();
  chained_kernels_broadcast_along_rows_and_columns();
  a_program_has_the_bits_of_its_calls_and_allocates_nothing();
  a_label_outside_the_classes_ends_a_run_before_anything_is_updated();
  results_are_read_in_every_dtype();
  return report();
}
