// Kernels of csrc/cuda, emulated, beside those of the CPU: shapes, strides and addresses that bits_cases.cpp has not.
#include <cstring>

#include "checks.h"
#include "cuda/backend.h"
#include "engine/node.h"

namespace {

using Device = Table<DeviceKernel>;
using Cpu = Table<Kernel>;

const DeviceBackend& backend() { return cuda::backend(); }

template <class Arguments>
void on_cpu(Kernel<Arguments> Cpu::* kernel, const Arguments& arguments) {
  engine::KernelNode<Arguments> node(kernels().*kernel, arguments);
  engine::Job job(node, 1, 1e9);
  Buffer memory(job.memory());
  job.run(memory.data());
}

template <class Arguments>
void on_device(DeviceKernel<Arguments> Device::* kernel, const Arguments& arguments) {
  const DeviceKernel<Arguments>& device = backend().kernels.*kernel;
  std::byte* memory = backend().allocate(device.workspace ? device.workspace(arguments) : 0);
  device.launch(arguments, memory);
  backend().synchronize();
  backend().release(memory);
}

// Elements that begin `offset` elements behind an address that is aligned for every unit.
template <class T>
struct Elements {
  std::vector<T> all;
  int64_t offset, count;

  Elements(Source& source, int64_t n, int64_t o = 0) : all(static_cast<size_t>(n + o)), offset(o), count(n) {
    for (T& element : all) {
      if constexpr (T(0.5) == T(0)) element = static_cast<T>(source.bits());
      else element = source.number<T>();
    }
  }
  T* data() { return all.data() + offset; }
  bool operator==(const Elements& other) const {
    for (int64_t i = 0; i < count; ++i) {
      const T &a = all[static_cast<size_t>(i + offset)], &b = other.all[static_cast<size_t>(i + other.offset)];
      if (std::memcmp(&a, &b, sizeof(T)) != 0 && (a == a || b == b)) return false;
    }
    return true;
  }
};

template <class T>
constexpr DType dtype_of = sizeof(T) == 4 ? f32 : f64;

// ---- products ---------------------------------------------------------------------------------------------------

// A matrix of so many rows and columns: row-major, column-major, with gaps, or with every element apart.
struct Layout {
  int64_t row, column, size;

  Layout(Source& source, int64_t rows, int64_t columns) {
    const int64_t gap = source.below(3) == 0 ? source.below(9) : 0;
    switch (source.below(4)) {
      case 0: row = columns + gap, column = 1; break;
      case 1: row = 1, column = rows + gap; break;
      case 2: row = (columns + 3) / 4 * 4, column = 1; break;
      default: row = 2 * columns + gap, column = 2;
    }
    size = rows * row + columns * column;
  }
};

template <class T>
void product_of(Source& source) {
  const int64_t sides[] = {1, 3, 10, 16, 17, 32, 33, 64, 65, 100, 128, 129, 200, 257};
  const int64_t depths[] = {0, 1, 7, 15, 16, 17, 33, 255, 256, 257, 272, 513, 600};
  const int64_t m = sides[source.below(14)], n = sides[source.below(14)], k = depths[source.below(13)];
  const Layout of_a(source, m, k), of_b(source, k, n);
  const int64_t c_row = n + source.below(2) * source.below(7);
  Elements<T> a(source, of_a.size, source.below(2)), b(source, of_b.size, source.below(2) * 3), bias(source, n);
  Elements<T> y(source, m * n), c(source, m * c_row, source.below(2)), velocity(source, m * n);
  Elements<T> c_device = c, velocity_device = velocity;
  double lr = 0.1;
  Product p{};
  p.dtype = dtype_of<T>, p.m = m, p.n = n, p.k = k;
  p.a = a.data(), p.a_row = of_a.row, p.a_column = of_a.column;
  p.b = b.data(), p.b_row = of_b.row, p.b_column = of_b.column;
  p.alpha = source.below(2) ? 1 : -0.375;
  const bool updates = source.below(3) == 0;
  if (updates) {
    p.update = {p.dtype, m * n, nullptr, nullptr, nullptr, &lr, source.below(2) ? 0.9 : 0, 0.1, 0.01, true};
  } else {
    p.beta = source.below(2) ? 0 : 0.7;
    p.bias = source.below(2) ? bias.data() : nullptr;
    p.activation = static_cast<Activation>(source.below(5));
    p.backward = static_cast<Activation>(source.below(5));
    if (p.backward != Activation::none) p.y = y.data(), p.y_row = n;
  }
  auto with = [&](Elements<T>& result, Elements<T>& moving) {
    Product call = p;
    if (updates) call.update.param = result.data();
    else call.c = result.data(), call.c_row = c_row;
    if (updates && p.update.momentum != 0) call.update.velocity = moving.data();
    return call;
  };
  on_cpu(&Cpu::matmul, with(c, velocity));
  on_device(&Device::matmul, with(c_device, velocity_device));
  CHECK(c == c_device);
  CHECK(velocity == velocity_device);
}

void test_products_of_any_layout_have_the_bits_of_the_cpu() {
  Source source{1};
  for (int i = 0; i < 150; ++i) product_of<float>(source), product_of<double>(source);
}

// ---- elementwise ------------------------------------------------------------------------------------------------

// A view of three axes into `elements`; strides may be 0 or negative, but for the result's.
template <class T>
View view_of(Source& source, Elements<T>& elements, const int64_t (&shape)[3], bool is_result) {
  View view{reinterpret_cast<std::byte*>(elements.data()), dtype_of<T>, 3, {}, {}};
  const int64_t places[] = {source.below(3), source.below(2)};
  int order[] = {0, 1, 2};
  std::swap(order[2], order[2 - places[0]]), std::swap(order[1], order[1 - places[1]]);
  int64_t step = source.below(2) + 1;
  for (int i = 2; i >= 0; --i) {
    const int axis = order[i];
    view.shape[axis] = shape[axis];
    const bool repeats = !is_result && source.below(4) == 0, backwards = source.below(4) == 0;
    view.strides[axis] = repeats ? 0 : backwards ? -step : step;
    if (backwards && !repeats) view.data += step * (shape[axis] - 1) * static_cast<int64_t>(sizeof(T));
    step *= shape[axis];
  }
  return view;
}

void test_elementwise_kernels_walk_any_strides() {
  Source source{2};
  for (int i = 0; i < 60; ++i) {
    const int64_t shape[] = {source.below(5) + 1, source.below(9) + 1, source.below(40) + 1};
    const int64_t room = 4 * shape[0] * shape[1] * shape[2];
    Elements<float> a(source, room), b(source, room), out(source, room), out_device = out;
    Elementwise e{};
    e.out = view_of(source, out, shape, true);
    e.in[0] = view_of(source, a, shape, false), e.in[1] = view_of(source, b, shape, false);
    on_cpu(&Cpu::divide, e);
    e.out.data =
        reinterpret_cast<std::byte*>(out_device.data()) + (e.out.data - reinterpret_cast<std::byte*>(out.data()));
    on_device(&Device::divide, e);
    CHECK(out == out_device);
  }
}

void test_elementwise_kernels_take_addresses_that_are_not_aligned() {
  Source source{3};
  for (int64_t n : {1, 3, 4, 5, 1000, 100'003}) {
    for (int64_t offset : {0, 1, 2, 4}) {
      Elements<float> a(source, n, offset), b(source, n, 4 - offset), out(source, n, offset), out_device = out;
      auto line = [n](Elements<float>& x) { return View{reinterpret_cast<std::byte*>(x.data()), f32, 1, {n}, {1}}; };
      on_cpu(&Cpu::sigmoid_backward, {line(out), {line(a), line(b)}});
      on_device(&Device::sigmoid_backward, {line(out_device), {line(a), line(b)}});
      CHECK(out == out_device);
    }
  }
}

// ---- along rows ---------------------------------------------------------------------------------------------------

template <class T>
void reduce_all(Source& source, int64_t outer, int64_t extent, int64_t inner) {
  Elements<T> x(source, outer * extent * inner), out(source, outer * inner), out_device = out;
  Elements<int64_t> at(source, outer * inner), at_device = at;
  auto both = [&](auto cpu, auto device, auto& result, auto& device_result) {
    on_cpu(cpu, {dtype_of<T>, outer, extent, inner, x.data(), result.data()});
    on_device(device, {dtype_of<T>, outer, extent, inner, x.data(), device_result.data()});
    CHECK(result == device_result);
  };
  both(&Cpu::sum, &Device::sum, out, out_device);
  both(&Cpu::mean, &Device::mean, out, out_device);
  both(&Cpu::max, &Device::max, out, out_device);
  both(&Cpu::argmin, &Device::argmin, at, at_device);
}

void test_reductions_of_many_blocks_have_the_bits_of_the_cpu() {
  Source source{4};
  reduce_all<float>(source, 3, 70'001, 1);
  reduce_all<double>(source, 2, 4097, 1);
  reduce_all<float>(source, 2, 1000, 37);
  reduce_all<double>(source, 1, 513, 130);
  reduce_all<float>(source, 500, 3, 1);
  // Results of results: more than 4096 blocks.
  constexpr int64_t n = 4096 * 4097 + 5;
  std::vector<float> x(n);
  for (float& element : x) element = source.number<float>();
  float sum = 0, sum_device = 0;
  on_cpu(&Cpu::sum, {f32, 1, n, 1, x.data(), &sum});
  on_device(&Device::sum, {f32, 1, n, 1, x.data(), &sum_device});
  CHECK(sum == sum_device);
}

void test_softmax_of_rows_of_any_length_has_the_bits_of_the_cpu() {
  Source source{5};
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{300, 7}, {3, 4096}, {3, 4097}, {2, 70'001}}) {
    Elements<float> x(source, rows * columns), grad(source, rows * columns), out(source, rows * columns);
    Elements<float> out_device = out;
    auto both = [&](auto cpu, auto device) {
      on_cpu(cpu, {f32, rows, columns, x.data(), grad.data(), out.data()});
      on_device(device, {f32, rows, columns, x.data(), grad.data(), out_device.data()});
      CHECK(out == out_device);
    };
    both(&Cpu::softmax, &Device::softmax);
    both(&Cpu::softmax_backward, &Device::softmax_backward);
    both(&Cpu::log_softmax, &Device::log_softmax);
    both(&Cpu::log_softmax_backward, &Device::log_softmax_backward);
  }
}

void test_cross_entropy_of_any_size_has_the_bits_of_the_cpu() {
  Source source{6};
  for (auto [rows, classes] :
       {std::pair<int64_t, int64_t>{512, 16}, {512, 17}, {513, 10}, {20, 100}, {70, 4096}, {5, 4097}, {2, 70'001}}) {
    Elements<float> logits(source, rows * classes), weight(source, classes), target(source, rows * classes);
    Elements<float> loss(source, rows), grad(source, rows * classes), loss_device = loss, grad_device = grad;
    Array labels = source.labels(rows, classes);
    for (int64_t i = 1; i < rows; i += 7) labels.as<int64_t>()[i] = -1;
    for (int manner = 0; manner < 12; ++manner) {
      CrossEntropy c{f32, rows, classes, logits.data(), nullptr, nullptr, nullptr, -1, 0, {}, loss.data(), grad.data()};
      if (manner % 4 == 3) c.probabilities = target.data();
      else c.labels = labels.as<int64_t>();
      if (manner % 4 >= 1) c.weight = weight.data();
      if (manner % 4 == 2) c.label_smoothing = 0.1;
      c.reduction = static_cast<Reduction>(manner / 4);
      on_cpu(&Cpu::cross_entropy_with_grad, c);
      c.loss = loss_device.data(), c.grad = grad_device.data();
      on_device(&Device::cross_entropy_with_grad, c);
      CHECK(loss == loss_device);
      CHECK(grad == grad_device);
    }
  }
}

// ---- updates and indices --------------------------------------------------------------------------------------------

void test_updates_take_addresses_that_are_not_aligned() {
  Source source{7};
  double lr = 0.01, correction = 0.271;
  for (int64_t n : {1, 5, 1023, 70'001}) {
    for (int64_t offset : {0, 1}) {
      Elements<float> p(source, n, offset), g(source, n), v(source, n, offset), s(source, n);
      for (float& element : s.all) element = std::abs(element);
      Elements<float> p_device = p, v_device = v, s_device = s;
      Sgd sgd{f32, n, p.data(), g.data(), v.data(), &lr, 0.9, 0.1, 0.01, true};
      on_cpu(&Cpu::sgd_update, sgd);
      sgd.param = p_device.data(), sgd.velocity = v_device.data();
      on_device(&Device::sgd_update, sgd);
      CHECK(p == p_device && v == v_device);
      Adam adam{f32,         n,           p.data(), g.data(), v.data(), s.data(), &lr,
                &correction, &correction, 0.9,      0.999,    1e-8,     0.01,     false};
      on_cpu(&Cpu::adam_update, adam);
      adam.param = p_device.data(), adam.exp_avg = v_device.data(), adam.exp_avg_sq = s_device.data();
      on_device(&Device::adam_update, adam);
      CHECK(p == p_device && v == v_device && s == s_device);
    }
  }
}

// More than there are in a launch; some are empty, some not aligned, and of each the scalars are its own.
void test_updates_in_one_launch_have_the_bits_of_one_after_the_other() {
  Source source{9};
  constexpr size_t count = 131;
  std::vector<Elements<double>> p, g, v, s;
  std::vector<double> scalars;
  for (size_t i = 0; i < count; ++i) {
    const int64_t n = i % 10 == 3 ? 0 : i == 50 ? 9000 : source.below(700) + 1;
    p.emplace_back(source, n, source.below(2)), g.emplace_back(source, n), v.emplace_back(source, n);
    s.emplace_back(source, n);
    for (double& element : s.back().all) element = std::abs(element);
    scalars.push_back(0.01 * static_cast<double>(i % 50 + 1));
  }
  std::vector<Elements<double>> p_device = p, v_device = v, s_device = s;
  std::vector<Sgd> sgd;
  std::vector<Adam> adam;
  auto fill = [&](auto& param, auto& first, auto& second) {
    sgd.clear(), adam.clear();
    for (size_t i = 0; i < count; ++i) {
      const int64_t n = g[i].count;
      const double* scalar = &scalars[i];
      sgd.push_back({f64, n, param[i].data(), g[i].data(), i % 3 ? first[i].data() : nullptr, scalar, i % 3 ? 0.9 : 0,
                     0.1, i % 2 ? 0.01 : 0, i % 4 == 0});
      adam.push_back({f64, n, param[i].data(), g[i].data(), first[i].data(), second[i].data(), scalar, scalar, scalar,
                      0.9, 0.999, 1e-8, 0.01, i % 2 == 0});
    }
  };
  fill(p, v, s);
  for (const Sgd& each : sgd) on_cpu(&Cpu::sgd_update, each);
  for (const Adam& each : adam) on_cpu(&Cpu::adam_update, each);
  fill(p_device, v_device, s_device);
  backend().sgd_updates(sgd.data(), count);
  backend().adam_updates(adam.data(), count);
  backend().synchronize();
  CHECK(p == p_device && v == v_device && s == s_device);
}

void test_rows_are_gathered_from_wherever_they_stand() {
  Source source{8};
  for (int64_t width : {1, 3, 4, 28, 784, 785}) {
    for (int64_t offset : {0, 1, 4}) {
      const int64_t stride = width + source.below(2) * 4, count = 70;
      Elements<uint8_t> data(source, 50 * stride, offset);
      Array rows = source.labels(count, 50);
      Elements<float> out(source, count * width), out_device = out;
      Elements<uint8_t> copied(source, count * width), copied_device = copied;
      on_cpu(&Cpu::gather, {u8, f32, width, count, data.data(), 50, stride, rows.as<int64_t>(), 255, out.data()});
      on_device(&Device::gather,
                {u8, f32, width, count, data.data(), 50, stride, rows.as<int64_t>(), 255, out_device.data()});
      CHECK(out == out_device);
      on_cpu(&Cpu::gather, {u8, u8, width, count, data.data(), 50, stride, rows.as<int64_t>(), 1, copied.data()});
      on_device(&Device::gather,
                {u8, u8, width, count, data.data(), 50, stride, rows.as<int64_t>(), 1, copied_device.data()});
      CHECK(copied == copied_device);
    }
    Array halves = source.numbers(f16, {50, width}), rows = source.labels(70, 50);
    Elements<double> out(source, 70 * width), out_device = out;
    Gather gather{f16, f64, width, 70, halves.view.data, 50, width, rows.as<int64_t>(), 3, out.data()};
    on_cpu(&Cpu::gather, gather);
    gather.out = out_device.data();
    on_device(&Device::gather, gather);
    CHECK(out == out_device);
  }
}

}  // namespace

int main() {
  if (runnable_isas().size() < 2) {
    std::printf("skipped: this CPU has no fused multiply-add\n");
    return 77;
  }
  test_products_of_any_layout_have_the_bits_of_the_cpu();
  test_elementwise_kernels_walk_any_strides();
  test_elementwise_kernels_take_addresses_that_are_not_aligned();
  test_reductions_of_many_blocks_have_the_bits_of_the_cpu();
  test_softmax_of_rows_of_any_length_has_the_bits_of_the_cpu();
  test_cross_entropy_of_any_size_has_the_bits_of_the_cpu();
  test_updates_take_addresses_that_are_not_aligned();
  test_updates_in_one_launch_have_the_bits_of_one_after_the_other();
  test_rows_are_gathered_from_wherever_they_stand();
  return report();
}
