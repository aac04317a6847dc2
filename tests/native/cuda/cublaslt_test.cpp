// Products in tf32 and bf16 on the emulated device, by a stand-in for cuBLASLt: how near they are, that what follows
// has the bits of kernels of its own, that an algorithm is chosen once for a shape, graphs, and what goes wrong.
#include <dlfcn.h>

#include <array>
#include <cmath>
#include <cstring>

#include "checks.h"
#include "cuda/backend.h"
#include "engine/program.h"

namespace {

using Device = Table<DeviceKernel>;

const DeviceBackend& backend() { return cuda::backend(); }

const char* library;     // the stand-in
const char* no_library;  // a shared library of another kind

// What the stand-in tells of itself.
template <class Function>
Function* told(const char* name) {
  static void* opened = dlopen(library, RTLD_NOW);
  return reinterpret_cast<Function*>(dlsym(opened, name));
}
int64_t calls(const char* function) { return told<int64_t(const char*)>("standin_calls")(function); }
void fail(const char* function, int status) { told<void(const char*, int)>("standin_fail")(function, status); }

// Memory of the device.
struct Elements {
  int64_t count;
  Buffer memory;

  explicit Elements(int64_t n) : count(n), memory(backend().allocate(n * 4), backend().release) {
    std::fill_n(data(), n, 0.0f);
  }
  Elements(Source& source, int64_t n) : Elements(n) {
    for (int64_t i = 0; i < n; ++i) data()[i] = source.number<float>();
  }
  Elements(const Elements& other) : Elements(other.count) { std::copy_n(other.data(), count, data()); }
  float* data() const { return reinterpret_cast<float*>(memory.data()); }
  View view(int64_t rows, int64_t columns) const { return {memory.data(), f32, 2, {rows, columns}, {columns, 1}}; }
  bool operator==(const Elements& other) const {
    for (int64_t i = 0; i < count; ++i) {
      const float a = data()[i], b = other.data()[i];
      if (std::memcmp(&a, &b, 4) != 0 && (a == a || b == b)) return false;
    }
    return true;
  }
};

template <class Arguments>
void launch(DeviceKernel<Arguments> Device::* kernel, const Arguments& arguments) {
  const DeviceKernel<Arguments>& device = backend().kernels.*kernel;
  const Buffer memory(backend().allocate(device.workspace ? device.workspace(arguments) : 0), backend().release);
  device.launch(arguments, memory.data());
  backend().synchronize();
}

Call on_device(const char* op, engine::Program* program = nullptr) { return {op, 1, nullptr, program, &backend()}; }

Product product_of(Precision precision, int64_t m, int64_t n, int64_t k, const Elements& a, const Elements& b) {
  Product p{};
  p.dtype = f32, p.m = m, p.n = n, p.k = k, p.alpha = 1, p.precision = precision;
  p.a = a.data(), p.a_row = k, p.a_column = 1;
  p.b = b.data(), p.b_row = n, p.b_column = 1;
  return p;
}

constexpr Precision lower[] = {Precision::tf32, Precision::bf16};
const char* const names[] = {"float32", "tf32", "bf16"};
// By how much a number may differ from its rounded self, relatively: the last bit that is kept, half of it to nearest.
double unit(Precision precision) { return precision == Precision::tf32 ? 0x1p-11 : 0x1p-8; }

// ---- before there is a library --------------------------------------------------------------------------------------

void test_without_a_library_a_product_says_what_it_needs() {
  Source source{1};
  const Elements a(source, 6), b(source, 6), c(4);
  Product p = product_of(Precision::tf32, 2, 2, 3, a, b);
  p.c = c.data(), p.c_row = 2;
  CHECK(message_of<DeviceError>([&] { launch(&Device::matmul, p); }).find("need cuBLASLt, which has not been loaded") !=
        std::string::npos);
}

void test_what_cannot_be_loaded_says_why() {
  auto error_of = [](const char* file) { return message_of<DeviceError>([&] { backend().load_library(file); }); };
  CHECK(error_of("libno-such-thing.so.13").find("libno-such-thing.so.13: cannot open shared object file") == 0);
  CHECK(error_of(no_library) == std::string(no_library) + " has no cublasLtGetVersion");
  fail("Create", 7);
  CHECK(error_of(library) == "[cuda] cuBLASLt could not begin: an invalid value");
}

void test_a_library_is_loaded_once() {
  for (const char* file : {library, "libno-such-thing.so.13"})
    CHECK(std::string(backend().load_library(file)) == "cuBLASLt 13.1.5");
  CHECK(calls("Create") == 2);  // one failed
}

// ---- what comes out -------------------------------------------------------------------------------------------------

// A matrix that the entry points take: row-major or column-major, with a gap, turned round, or with every element
// apart.
View any_layout(Source& source, const Elements& memory, int64_t rows, int64_t columns) {
  const int64_t gap = source.below(3);
  View view{memory.memory.data(), f32, 2, {rows, columns}, {columns + gap, 1}};
  switch (source.below(5)) {
    case 1: view.strides[0] = 1, view.strides[1] = rows + gap; break;
    case 2: view.strides[0] = 2 * columns, view.strides[1] = 2; break;
    case 3: view.strides[0] = -columns, view.data += (rows - 1) * columns * 4; break;
    case 4: view.strides[0] = 0;
  }
  return view;
}

double at(const View& view, int64_t row, int64_t column) {
  return static_cast<double>(
      reinterpret_cast<const float*>(view.data)[row * view.strides[0] + column * view.strides[1]]);
}

// |sum of rounded a b - sum of a b| <= (2 u + u^2 + what sums in float32 add) times the sum of |a b|.
void test_products_are_as_near_as_the_precision_allows_in_any_layout() {
  Source source{2};
  for (int i = 0; i < 60; ++i) {
    const int64_t sides[] = {1, 2, 3, 8, 10, 17, 33, 64};
    const int64_t m = sides[source.below(8)], n = sides[source.below(8)], k = sides[source.below(8)];
    const Elements of_a(source, 3 * (m + 3) * (k + 3)), of_b(source, 3 * (k + 3) * (n + 3)), c(m * n);
    const View a = any_layout(source, of_a, m, k), b = any_layout(source, of_b, k, n);
    for (Precision precision : lower) {
      Into to_c(c.view(m, n));
      eager::MatmulOptions options;
      options.precision = names[static_cast<int>(precision)];
      eager::matmul(on_device("matmul"), {a, "a"}, {b, "b"}, nullptr, options, to_c);
      backend().synchronize();
      const double u = unit(precision), bound = 2 * u + u * u + static_cast<double>(k) * 0x1p-24;
      bool near = true, exact = true;
      for (int64_t row = 0; row < m; ++row) {
        for (int64_t column = 0; column < n; ++column) {
          double sum = 0, size = 0;
          for (int64_t j = 0; j < k; ++j) {
            sum += at(a, row, j) * at(b, j, column);
            size += std::abs(at(a, row, j) * at(b, j, column));
          }
          const double error = std::abs(static_cast<double>(c.data()[row * n + column]) - sum);
          near = near && error <= bound * size * 1.001;
          exact = exact && error <= static_cast<double>(k + 1) * 0x1p-24 * size;
        }
      }
      CHECK(near);
      CHECK(!exact || m * n * k < 64);  // it has been rounded
    }
  }
}

// The product alone, as the library makes it.
Elements sums_of(const Product& p) {
  Elements sums(p.m * p.n);
  Product alone = product_of(p.precision, p.m, p.n, p.k, sums, sums);
  alone.a = p.a, alone.b = p.b, alone.c = sums.data(), alone.c_row = p.n;
  launch(&Device::matmul, alone);
  return sums;
}

void test_what_follows_has_the_bits_of_the_kernels_that_it_stands_for() {
  Source source{3};
  const int64_t m = 37, n = 300, k = 19;
  const Elements a(source, m * k), b(source, k * n), bias(source, n), y(source, m * n);
  auto line = [](const Elements& x) { return View{x.memory.data(), f32, 1, {x.count}, {1}}; };
  for (Precision precision : lower) {
    Product p = product_of(precision, m, n, k, a, b);
    const Elements sums = sums_of(p);

    Elements c(m * n), expected(sums), biased(sums);
    p.c = c.data(), p.c_row = n, p.bias = bias.data(), p.activation = Activation::gelu;
    launch(&Device::linear, p);
    View repeated = bias.view(m, n);
    repeated.strides[0] = 0;
    launch(&Device::add, Elementwise{biased.view(m, n), {biased.view(m, n), repeated}});
    launch(&Device::gelu, Elementwise{line(expected), {line(biased)}});
    CHECK(c == expected);

    p.bias = nullptr, p.activation = Activation::none, p.backward = Activation::tanh, p.y = y.data(), p.y_row = n;
    launch(&Device::matmul, p);
    launch(&Device::tanh_backward, Elementwise{line(expected), {line(sums), line(y)}});
    CHECK(c == expected);
  }
}

void test_alpha_and_beta_and_rows_with_gaps() {
  Source source{4};
  const int64_t m = 9, n = 21, k = 70, c_row = 30;
  const Elements a(source, m * k), b(source, k * n);
  Elements c(source, m * c_row);
  const Elements before(c);
  Product p = product_of(Precision::tf32, m, n, k, a, b);
  const Elements sums = sums_of(p);
  p.alpha = -0.375, p.beta = 0.7, p.c = c.data(), p.c_row = c_row;
  launch(&Device::matmul, p);
  bool same = true;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < c_row; ++j) {
      const float old = before.data()[i * c_row + j];
      const float wanted = j < n ? std::fma(-0.375f, sums.data()[i * n + j], 0.7f * old) : old;
      same = same && c.data()[i * c_row + j] == wanted;
    }
  }
  CHECK(same);
  // Rows from the last to the first, which the library cannot write.
  Elements turned(m * n);
  p.alpha = 1, p.beta = 0, p.c = turned.data() + (m - 1) * n, p.c_row = -n;
  launch(&Device::matmul, p);
  for (int64_t i = 0; i < m; ++i)
    same = same && std::equal(sums.data() + i * n, sums.data() + (i + 1) * n, turned.data() + (m - 1 - i) * n);
  CHECK(same);
}

void test_an_update_has_the_bits_of_the_one_that_reads_a_gradient() {
  Source source{5};
  const int64_t m = 40, n = 513, k = 33;
  const Elements a(source, m * k), b(source, k * n), param(source, m * n), velocity(source, m * n), rate(2);
  auto* lr = reinterpret_cast<double*>(rate.memory.data());
  *lr = 0.1;
  for (double momentum : {0.0, 0.9}) {
    Product p = product_of(Precision::bf16, m, n, k, a, b);
    const Elements sums = sums_of(p), param1(param), param2(param), velocity1(velocity), velocity2(velocity);
    void *moving1 = momentum != 0 ? velocity1.data() : nullptr, *moving2 = momentum != 0 ? velocity2.data() : nullptr;
    p.update = {f32, m * n, param1.data(), nullptr, moving1, lr, momentum, 0.1, 0.01, true};
    launch(&Device::matmul_sgd_update, p);
    launch(&Device::sgd_update, Sgd{f32, m * n, param2.data(), sums.data(), moving2, lr, momentum, 0.1, 0.01, true});
    CHECK(param1 == param2);
    CHECK(velocity1 == velocity2);
  }
}

void test_nothing_along_k_is_the_librarys_no_business() {
  const Elements a(1), c(6);
  std::fill_n(c.data(), 6, 5.0f);
  Product p = product_of(Precision::tf32, 2, 3, 0, a, a);
  p.c = c.data(), p.c_row = 3;
  const int64_t before = calls("Matmul");
  launch(&Device::matmul, p);
  CHECK(c == Elements(6) && calls("Matmul") == before);
}

void test_a_precision_is_for_float32_on_a_device() {
  std::vector<float> numbers(4, 1.0f);
  Into to(view(numbers, {2, 2}));
  eager::MatmulOptions options;
  options.precision = "tf32";
  std::vector<float> result(4);
  Into apart(view(result, {2, 2}));
  CHECK(message_of<ValueError>([&] {
          eager::matmul({"matmul"}, {to.own, "a"}, {to.own, "b"}, nullptr, options, apart);
        }) == "[matmul] precision = 'tf32' is for float32 on a GPU: leave it out");
  options.precision = "fp8";
  CHECK(message_of<ValueError>([&] {
          eager::matmul(on_device("matmul"), {to.own, "a"}, {to.own, "b"}, nullptr, options, apart);
        }) == "[matmul] precision = 'fp8' must be 'float32', 'tf32' or 'bf16'");
}

// ---- once for a shape -----------------------------------------------------------------------------------------------

void test_an_algorithm_is_chosen_once_for_a_shape() {
  Source source{6};
  const int64_t m = 24, n = 40, k = 56;
  const Elements a(source, m * k), b(source, k * n), other(source, k * n), c(m * n);
  auto chosen = [] {
    return std::array{calls("MatmulDescCreate"), calls("MatmulAlgoGetHeuristic"), calls("MatrixLayoutCreate")};
  };
  auto run = [&](const Elements& factor, Precision precision) {
    Product p = product_of(precision, m, n, k, a, factor);
    p.c = c.data(), p.c_row = n;
    const auto before = chosen();
    launch(&Device::matmul, p);
    const auto after = chosen();
    return std::array{after[0] - before[0], after[1] - before[1], after[2] - before[2]};
  };
  CHECK((run(b, Precision::tf32) == std::array<int64_t, 3>{1, 1, 3}));
  CHECK((run(b, Precision::tf32) == std::array<int64_t, 3>{}));
  CHECK((run(other, Precision::tf32) == std::array<int64_t, 3>{}));
  CHECK((run(b, Precision::bf16) == std::array<int64_t, 3>{1, 1, 3}));
  CHECK(calls("MatmulPreferenceCreate") == calls("MatmulPreferenceDestroy"));
}

// A layer and its update, as a program: a graph that is launched for each step.
void test_a_graph_chooses_nothing_and_has_the_bits_of_calls() {
  Source source{7};
  const int64_t rows = 16, inputs = 30, outputs = 20, steps = 5;
  const Elements x(source, rows * inputs), weight(source, outputs * inputs), weight_again(weight);
  const Elements y(rows * outputs), y_again(y), sum(1), sum_again(1);
  double lr = 0.01;
  auto step = [&](engine::Program* program, const Elements& w, const Elements& out, const Elements& total) {
    Into to_y(out.view(rows, outputs)), to_total({total.memory.data(), f32, 0, {}, {}});
    eager::linear(on_device("linear", program), {x.view(rows, inputs), "x"}, {w.view(outputs, inputs), "weight"},
                  nullptr, "tanh", to_y, "bf16");
    eager::matmul_sgd_update(on_device("matmul_sgd_update", program), {w.view(outputs, inputs), "param"},
                             {out.view(rows, outputs), "a"}, {x.view(rows, inputs), "b"}, nullptr, true, false,
                             {{lr, &lr}}, "bf16");
    eager::reduce(on_device("sum", program), kernels().sum, eager::Reducing::sum, {out.view(rows, outputs), "x"}, {},
                  false, to_total);
  };
  engine::Program program({{sum.memory.data(), f32, 0, {}, {}}});
  step(&program, weight, y, sum);
  std::vector<double> rates(steps, 0.01), totals(steps);
  engine::Steps run;
  run.count = 1, run.slots = {&lr}, run.values = rates.data(), run.results = totals.data();
  program.run(run, 1);
  const int64_t chosen = calls("MatmulAlgoGetHeuristic"), made = calls("Matmul");
  run.count = steps - 1, run.results = totals.data() + 1;
  program.run(run, 1);
  CHECK(calls("MatmulAlgoGetHeuristic") == chosen);
  CHECK(calls("Matmul") == made + 2);  // while the longer run's graph is made
  program.run({0, nullptr, 0, nullptr, {&lr}, rates.data(), totals.data()}, 1);
  CHECK(calls("Matmul") == made + 2);
  for (int64_t i = 0; i < steps; ++i) {
    step(nullptr, weight_again, y_again, sum_again);
    backend().synchronize();
    CHECK(totals[static_cast<size_t>(i)] == static_cast<double>(sum_again.data()[0]));
  }
  CHECK(weight == weight_again);
}

// ---- what goes wrong ------------------------------------------------------------------------------------------------

void test_what_the_library_cannot_do_is_an_error_and_the_next_call_works() {
  Source source{8};
  const Elements a(source, 15), b(source, 15), c(9);
  Product p = product_of(Precision::tf32, 3, 3, 5, a, b);
  p.c = c.data(), p.c_row = 3;
  auto run = [&] { launch(&Device::matmul, p); };
  fail("MatmulDescCreate", 15);
  CHECK(message_of<DeviceError>(run) == "[cuda] cuBLASLt could not describe a product: not supported");
  fail("MatrixLayoutCreate", 15);
  CHECK(message_of<DeviceError>(run) == "[cuda] cuBLASLt could not describe a matrix: not supported");
  fail("MatmulAlgoGetHeuristic", 15);
  CHECK(message_of<DeviceError>(run) == "[cuda] cuBLASLt could not choose an algorithm: not supported");
  fail("MatmulAlgoGetHeuristic", 0);
  CHECK(message_of<DeviceError>(run) == "[cuda] cuBLASLt has no algorithm for this product");
  fail("MatmulPreferenceCreate", 3);
  CHECK(message_of<std::bad_alloc>(run) == "[cuda] cuBLASLt could not choose an algorithm: no memory");
  run();
  fail("Matmul", 15);
  CHECK(message_of<DeviceError>(run) == "[cuda] cuBLASLt could not multiply: not supported");
  run();
  CHECK(c == sums_of(p));
  // What was made for a choice that failed has been destroyed.
  const int64_t kept = calls("MatmulDescCreate") - 1;  // one creation failed
  CHECK(kept - calls("MatmulDescDestroy") == calls("MatmulAlgoGetHeuristic") - 2);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return std::printf("usage: cublaslt_test LIBRARY ANOTHER\n"), 2;
  library = arguments[1], no_library = arguments[2];
  if (runnable_isas().size() < 2) {
    std::printf("skipped: this CPU has no fused multiply-add\n");
    return 77;
  }
  test_without_a_library_a_product_says_what_it_needs();
  test_what_cannot_be_loaded_says_why();
  test_a_library_is_loaded_once();
  test_products_are_as_near_as_the_precision_allows_in_any_layout();
  test_what_follows_has_the_bits_of_the_kernels_that_it_stands_for();
  test_alpha_and_beta_and_rows_with_gaps();
  test_an_update_has_the_bits_of_the_one_that_reads_a_gradient();
  test_nothing_along_k_is_the_librarys_no_business();
  test_a_precision_is_for_float32_on_a_device();
  test_an_algorithm_is_chosen_once_for_a_shape();
  test_a_graph_chooses_nothing_and_has_the_bits_of_calls();
  test_what_the_library_cannot_do_is_an_error_and_the_next_call_works();
  return report();
}
