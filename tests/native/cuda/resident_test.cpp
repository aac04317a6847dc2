// Steps that one kernel runs, emulated: their bits are those of the same kernels launched one by one; and which steps
// are left to these.
#include <array>
#include <cstdlib>
#include <cstring>

#include "checks.h"
#include "cuda/backend.h"
#include "cuda/layout.h"
#include "cuda/product.h"
#include "cuda_runtime.h"

namespace {

using cuda::backend;

constexpr int64_t steps = 9;  // of a run: fewer than 8 at a time are launched one by one

// ---- memory of a step, each time the same --------------------------------------------------------------------------

class Memory {
 public:
  ~Memory() {
    for (const Block& block : blocks_) backend().release(block.data);
  }

  // `count` elements that begin `offset` of them behind an aligned address; floating-point ones are filled with
  // numbers.
  template <class T>
  T* take(int64_t count, int64_t offset = 0) {
    const int64_t bytes = (count + offset) * static_cast<int64_t>(sizeof(T));
    blocks_.push_back({backend().allocate(bytes), bytes});
    T* data = reinterpret_cast<T*>(blocks_.back().data);
    std::memset(data, 0, static_cast<size_t>(bytes));
    if constexpr (T(0.5) != T(0))
      for (int64_t i = 0; i < count + offset; ++i) data[i] = source_.number<T>() / 4;
    return data + offset;
  }
  template <class T>
  T* integers(int64_t count, int64_t below) {
    T* data = take<T>(count);
    for (int64_t i = 0; i < count; ++i) data[i] = static_cast<T>(source_.below(below));
    return data;
  }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all;
    for (const Block& block : blocks_) all.insert(all.end(), block.data, block.data + block.bytes);
    return all;
  }

 private:
  struct Block {
    std::byte* data;
    int64_t bytes;
  };
  std::vector<Block> blocks_;
  Source source_{7};
};

struct Run {
  std::vector<std::byte> memory;  // afterwards
  int64_t kernels;                // that were launched
};

// Runs a step so often; record(memory) launches its kernels. `kept_apart` launches them one by one.
template <class Record>
Run run(Record record, int64_t times, bool kept_apart) {
  setenv("FASTNN_CUDA_RESIDENT", kept_apart ? "0" : "1", 1);
  Memory memory;
  backend().begin_graph();
  record(memory);
  void* graph = backend().end_graph();
  const int64_t before = emulator::grids();
  backend().launch_graph(graph, times);
  backend().synchronize();
  const int64_t kernels = emulator::grids() - before;
  backend().release_graph(graph);
  return {memory.bytes(), kernels};
}

template <class Record>
void check_as_one(Record record) {
  const Run apart = run(record, steps, true), together = run(record, steps, false);
  CHECK(together.memory == apart.memory);
  CHECK(together.kernels == 1 && apart.kernels > 3);
}

template <class Record>
bool is_one(Record record) {
  const Run apart = run(record, steps, true), together = run(record, steps, false);
  CHECK(together.memory == apart.memory);
  return together.kernels == 1;
}

template <class T>
constexpr DType dtype_of = sizeof(T) == 4 ? f32 : f64;

// ---- operations -----------------------------------------------------------------------------------------------------

template <class Arguments>
void launch(const DeviceKernel<Arguments>& kernel, const Arguments& arguments, Memory& memory) {
  kernel.launch(arguments, kernel.workspace ? memory.take<std::byte>(kernel.workspace(arguments)) : nullptr);
}

const Table<DeviceKernel>& on_device() { return backend().kernels; }

// c (m, n) = a b; each factor is given with the strides of its rows and columns.
template <class T>
Product product(T* c, int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_column, const T* b,
                int64_t b_row, int64_t b_column) {
  Product p{};
  p.dtype = dtype_of<T>, p.m = m, p.n = n, p.k = k, p.c = c, p.c_row = n, p.alpha = 1;
  p.a = a, p.a_row = a_row, p.a_column = a_column, p.b = b, p.b_row = b_row, p.b_column = b_column;
  return p;
}

// Training of a model with one hidden layer on rows of `From`.
template <class T, class From>
struct Mlp {
  int64_t batch, inputs, hiddens, classes;
  double momentum = 0, smoothing = 0;
  int64_t offset = 0;  // of parameters

  void operator()(Memory& memory) const {
    constexpr int64_t data_rows = 50;
    const DType dtype = dtype_of<T>, from = sizeof(From) == 1 ? u8 : sizeof(From) == 2 ? f16 : dtype;
    From* data =
        sizeof(From) <= 2 ? memory.integers<From>(data_rows * inputs, 200) : memory.take<From>(data_rows * inputs);
    int64_t* labels = memory.integers<int64_t>(data_rows, classes);
    int64_t* table = memory.integers<int64_t>(steps * batch, data_rows);
    int64_t* rows = memory.take<int64_t>(batch);
    int64_t* index = memory.take<int64_t>(1);
    double* lr = memory.take<double>(1);
    T *w1 = memory.take<T>(hiddens * inputs, offset), *b1 = memory.take<T>(hiddens, offset);
    T *w2 = memory.take<T>(classes * hiddens, offset), *b2 = memory.take<T>(classes, offset);
    T *v1 = memory.take<T>(hiddens * inputs), *v2 = memory.take<T>(classes);
    T *x = memory.take<T>(batch * inputs), *h = memory.take<T>(batch * hiddens),
      *logits = memory.take<T>(batch * classes);
    T *dlogits = memory.take<T>(batch * classes), *dh = memory.take<T>(batch * hiddens);
    T *db1 = memory.take<T>(hiddens), *db2 = memory.take<T>(classes), *loss = memory.take<T>(1),
      *ring = memory.take<T>(steps);
    int64_t* y = memory.take<int64_t>(batch);

    backend().copy_slice(rows, table, batch * 8, index);
    launch(on_device().gather,
           Gather{from, dtype, inputs, batch, data, data_rows, inputs, rows, from == dtype ? 1.0 : 255.0, x}, memory);
    launch(on_device().gather, Gather{i64, i64, 1, batch, labels, data_rows, 1, rows, 1, y}, memory);
    Product first = product(h, batch, hiddens, inputs, x, inputs, 1, w1, 1, inputs);
    first.bias = b1, first.activation = Activation::relu;
    launch(on_device().linear, first, memory);
    Product second = product(logits, batch, classes, hiddens, h, hiddens, 1, w2, 1, hiddens);
    second.bias = b2;
    launch(on_device().linear, second, memory);
    launch(on_device().cross_entropy_with_grad,
           CrossEntropy{dtype, batch, classes, logits, y, nullptr, nullptr, -100, smoothing, Reduction::mean, loss,
                        dlogits},
           memory);
    Product back = product(dh, batch, hiddens, classes, dlogits, classes, 1, w2, hiddens, 1);
    back.backward = Activation::relu, back.y = h, back.y_row = hiddens;
    launch(on_device().matmul, back, memory);
    launch(on_device().sum, Reduce{dtype, 1, batch, classes, dlogits, db2}, memory);
    launch(on_device().sum, Reduce{dtype, 1, batch, hiddens, dh, db1}, memory);
    auto sgd = [&](T* param, T* grad, T* velocity, int64_t count) {
      return Sgd{dtype, count, param, grad, momentum != 0 ? velocity : nullptr, lr, momentum, 0, 0.01, false};
    };
    Product update = product<T>(nullptr, classes, hiddens, batch, dlogits, 1, classes, h, hiddens, 1);
    update.update = sgd(w2, nullptr, nullptr, classes * hiddens), update.update.momentum = 0;
    launch(on_device().matmul_sgd_update, update, memory);
    update = product<T>(nullptr, hiddens, inputs, batch, dh, 1, hiddens, x, inputs, 1);
    update.update = sgd(w1, nullptr, v1, hiddens * inputs);
    launch(on_device().matmul_sgd_update, update, memory);
    const Sgd biases[] = {sgd(b2, db2, v2, classes), sgd(b1, db1, dh, hiddens)};
    if (momentum != 0) launch(on_device().sgd_update, biases[0], memory);
    else backend().sgd_updates(biases, 2);
    backend().copy_to_slice(ring, loss, sizeof(T), index);
    backend().increment(index);
  }
};

// Adam on a linear model, whose target are numbers.
template <class T>
struct Linear {
  int64_t batch, inputs;
  Reduction reduction = Reduction::mean;
  int64_t rows_of_sum = 1;  // how the gradient of the bias is summed up: as so many rows

  void operator()(Memory& memory) const {
    const DType dtype = dtype_of<T>;
    T *x = memory.take<T>(batch * inputs), *target = memory.take<T>(batch), *w = memory.take<T>(inputs);
    T *out = memory.take<T>(batch), *grad = memory.take<T>(batch), *dw = memory.take<T>(inputs),
      *db = memory.take<T>(rows_of_sum);
    T *loss = memory.take<T>(batch), *m = memory.take<T>(inputs), *s = memory.take<T>(inputs);
    double* scalars = memory.take<double>(3);
    for (int i = 0; i < 3; ++i) scalars[i] = 0.1 + 0.2 * i;
    for (int64_t i = 0; i < inputs; ++i) s[i] = s[i] * s[i];
    launch(on_device().linear, product(out, batch, 1, inputs, x, inputs, 1, w, 1, inputs), memory);
    launch(on_device().mse_loss_with_grad, SquaredError{dtype, batch, out, target, true, reduction, loss, grad},
           memory);
    launch(on_device().matmul, product(dw, 1, inputs, batch, grad, 1, 1, x, inputs, 1), memory);
    launch(on_device().mean, Reduce{dtype, rows_of_sum, batch / rows_of_sum, 1, grad, db}, memory);
    launch(on_device().adam_update,
           Adam{dtype, inputs, w, dw, m, s, scalars, scalars + 1, scalars + 2, 0.9, 0.999, 1e-8, 0.01, true}, memory);
  }
};

// A view of (rows, columns), whose rows are `row` elements apart.
template <class T>
View view_of(T* data, int64_t rows, int64_t columns, int64_t row, int64_t column = 1) {
  return {reinterpret_cast<std::byte*>(data), dtype_of<T>, 2, {rows, columns}, {row, column}};
}

// Every function of elements: of rows with gaps, and one of which is repeated; then dropout of the results.
template <class T>
void functions(Memory& memory) {
  constexpr int64_t rows = 5, columns = 70;
  T *a = memory.take<T>(rows * 80), *b = memory.take<T>(columns), *dropped = memory.take<T>(rows * columns);
  double* step = memory.take<double>(1);
  auto each = [&](DeviceKernel<Elementwise> Table<DeviceKernel>::* kernel, bool of_two) {
    T* out = memory.take<T>(rows * columns);
    (on_device().*kernel)
        .launch({view_of(out, rows, columns, columns),
                 {view_of(a, rows, columns, 80), of_two ? view_of(b, rows, columns, 0) : View{}, {}}},
                nullptr);
    on_device().dropout.launch(Random{dtype_of<T>, rows * columns, 1, 2, step, 3, 0.4, 0, out, dropped}, nullptr);
  };
  using All = Table<DeviceKernel>;
  for (auto kernel :
       {&All::add, &All::subtract, &All::multiply, &All::divide, &All::maximum, &All::minimum, &All::power,
        &All::relu_backward, &All::sigmoid_backward, &All::tanh_backward, &All::gelu_backward})
    each(kernel, true);
  for (auto kernel : {&All::negative, &All::abs, &All::sign, &All::sqrt, &All::exp, &All::log, &All::relu,
                      &All::sigmoid, &All::tanh, &All::gelu})
    each(kernel, false);
}

// ---- facts ---------------------------------------------------------------------------------------------------------

void test_a_small_step_is_one_kernel_with_the_bits_of_many() {
  check_as_one(Mlp<float, float>{16, 20, 12, 3});
  check_as_one(Mlp<float, float>{64, 64, 64, 10});
  check_as_one(Mlp<float, uint8_t>{20, 300, 33, 10, 0, 0.1});
  check_as_one(Mlp<float, uint8_t>{7, 13, 5, 4, 0.9});
  check_as_one(Mlp<float, uint16_t>{33, 131, 17, 10, 0, 0, 1});
  check_as_one(Mlp<double, double>{70, 24, 40, 11, 0.5, 0, 1});
  check_as_one(Mlp<double, uint8_t>{16, 28, 8, 2});
}

void test_linear_models_of_any_loss_too() {
  for (Reduction reduction : {Reduction::none, Reduction::sum, Reduction::mean}) {
    check_as_one(Linear<float>{32, 2, reduction});
    check_as_one(Linear<double>{30, 5, reduction, 3});
  }
  check_as_one(Linear<float>{8, 200});  // whose sums are those of few outputs
}

void test_functions_of_elements_and_dropout_too() {
  check_as_one(functions<float>);
  check_as_one(functions<double>);
}

void test_memory_that_shares_a_unit_with_other_memory_of_the_step_is_not_lost() {
  check_as_one([](Memory& memory) {
    float *all = memory.take<float>(64), *sums = memory.take<float>(64);
    for (int64_t i = 0; i < 7; ++i) launch(on_device().sum, Reduce{f32, 1, 3, 1, all + i * 3, sums + i}, memory);
    for (int64_t i = 0; i < 7; ++i) launch(on_device().sum, Reduce{f32, 1, 7, 1, sums, all + 22 + i}, memory);
  });
}

void test_what_the_kernel_cannot_do_is_launched() {
  using Small = Mlp<float, float>;
  const Small small{16, 20, 12, 3};
  CHECK(is_one(small));
  auto with = [&](auto more) {
    return [=](Memory& memory) {
      small(memory);
      more(memory);
    };
  };
  // A kernel of another kind.
  CHECK(!is_one(with([](Memory& memory) {
    const int64_t n = 8;
    launch(on_device().argmax, Reduce{f32, 1, n, 1, memory.take<float>(n), memory.take<int64_t>(1)}, memory);
  })));
  // Another dtype.
  CHECK(!is_one(with(Linear<double>{4, 2})));
  // Sums of several parts, and of nothing.
  CHECK(!is_one(with([](Memory& memory) {
    launch(on_device().sum, Reduce{f32, 1, 300, 2, memory.take<float>(600), memory.take<float>(2)}, memory);
  })));
  CHECK(!is_one(with([](Memory& memory) {
    launch(on_device().sum, Reduce{f32, 4, 0, 1, memory.take<float>(1), memory.take<float>(4)}, memory);
  })));
  // Losses of many rows, and of many elements.
  CHECK(!is_one(Small{600, 2, 2, 2}));
  CHECK(!is_one(with([](Memory& memory) {
    launch(on_device().mse_loss,
           SquaredError{f32, 5000, memory.take<float>(5000), memory.take<float>(5000), false, Reduction::sum,
                        memory.take<float>(1), nullptr},
           memory);
  })));
  // Elements that go backwards, and of integers.
  CHECK(!is_one(with([](Memory& memory) {
    const View out = view_of(memory.take<float>(8), 1, 8, 8), in = view_of(memory.take<float>(8) + 7, 1, 8, 8, -1);
    on_device().exp.launch({out, {in, {}, {}}}, nullptr);
  })));
  CHECK(!is_one(with([](Memory& memory) {
    View view = view_of(memory.take<double>(8), 1, 8, 8);
    view.dtype = i64;
    on_device().negative.launch({view, {view, {}, {}}}, nullptr);
  })));
  // What has no elements.
  CHECK(!is_one(with([](Memory& memory) {
    float *param = memory.take<float>(4), *grad = memory.take<float>(4);
    const double* lr = memory.take<double>(1);
    const Sgd updates[] = {{f32, 4, param, grad, nullptr, lr, 0, 0, 0, false},
                           {f32, 0, param, grad, nullptr, lr, 0, 0, 0, false}};
    backend().sgd_updates(updates, 2);
  })));
  CHECK(!is_one(with([](Memory& memory) {
    on_device().dropout.launch(
        Random{f32, 0, 1, 2, memory.take<double>(1), 3, 0.4, 0, memory.take<float>(1), memory.take<float>(1)}, nullptr);
  })));
  // A product over nothing.
  CHECK(!is_one(with([](Memory& memory) {
    launch(on_device().matmul,
           product(memory.take<float>(4), 2, 2, 0, memory.take<float>(1), 0, 1, memory.take<float>(1), 2, 1), memory);
  })));
  // One that goes backwards.
  CHECK(!is_one(with([](Memory& memory) {
    launch(on_device().matmul,
           product(memory.take<float>(4), 2, 2, 2, memory.take<float>(4) + 2, -2, 1, memory.take<float>(4), 2, 1),
           memory);
  })));
  CHECK(!is_one(with([](Memory& memory) {
    Product p = product(memory.take<float>(20) + 10, 2, 10, 128, memory.take<float>(256), 128, 1,
                        memory.take<float>(1280), 1, 128);
    p.c_row = -10;
    launch(on_device().linear, p, memory);
  })));
  // Rows of data that go backwards.
  CHECK(!is_one(with([](Memory& memory) {
    launch(on_device().gather,
           Gather{f32, f32, 2, 3, memory.take<float>(10) + 8, 5, -2, memory.integers<int64_t>(3, 5), 1,
                  memory.take<float>(6)},
           memory);
  })));
  // A copy that nobody has spoken for.
  CHECK(!is_one(with([](Memory& memory) { backend().copy(memory.take<float>(4), memory.take<float>(4), 16); })));
}

void test_rows_of_what_a_step_changes_are_read_where_it_changes_them() {
  const auto record = [](Memory& memory) {
    float *table = memory.take<float>(6), *out = memory.take<float>(2);
    int64_t* rows = memory.integers<int64_t>(2, 3);
    launch(on_device().gather, Gather{f32, f32, 1, 2, table, 6, 1, rows, 1, out}, memory);
    launch(on_device().sum, Reduce{f32, 1, 2, 1, out, table}, memory);
  };
  CHECK(!is_one(record));
}

void test_more_than_a_multiprocessor_has_is_launched() { CHECK(!is_one(Mlp<float, float>{64, 600, 64, 10})); }

void test_few_steps_at_a_time_are_launched() {
  const Mlp<float, float> record{16, 20, 12, 3};
  const Run few = run(record, 7, false), many = run(record, 8, false);
  CHECK(few.memory == run(record, 7, true).memory && many.memory == run(record, 8, true).memory);
  CHECK(few.kernels > 7 && many.kernels == 1);
}

void test_more_arithmetic_than_launches_are_worth_is_launched() {
  const auto record = [](Memory& memory) {
    launch(on_device().matmul,
           product(memory.take<float>(128 * 64), 128, 64, 128, memory.take<float>(128 * 128), 128, 1,
                   memory.take<float>(128 * 64), 64, 1),
           memory);
  };
  CHECK(!is_one(record));
  const auto exponentials = [](int64_t rows) {
    return [=](Memory& memory) {
      float* x = memory.take<float>(rows * 100);
      const View view = view_of(x, rows, 100, 100);
      on_device().tanh.launch({view, {view, {}, {}}}, nullptr);
    };
  };
  CHECK(is_one(exponentials(10)) && !is_one(exponentials(20)));
}

void test_a_layout_keeps_what_touches_together_and_everything_aligned() {
  cuda::Layout layout;
  std::byte* base = reinterpret_cast<std::byte*>(intptr_t{1} << 20);
  layout.keep(base + 100, 8), layout.keep(base + 4, 8), layout.keep(base + 96, 2), layout.keep(base + 12, 4);
  const int64_t end = layout.settle(32);
  CHECK(layout.regions().size() == 2);
  CHECK(end == 32 + 16 + 16);
  CHECK(layout.place_of(base + 4) == 36 && layout.place_of(base + 12) == 44 && layout.place_of(base + 100) == 52);
  CHECK(layout.keeps_any(base, 1) && layout.keeps_any(base + 15, 90) && layout.keeps_any(base + 111, 1));
  CHECK(!layout.keeps_any(base + 16, 80) && !layout.keeps_any(base + 112, 8));
  layout = {};
  layout.keep(base, 16), layout.keep(base + 16, 16), layout.keep(base, 64);
  CHECK(layout.settle(16) == 80 && layout.regions().size() == 1);
}

void test_tiles_follow_the_shape_of_the_product() {
  auto tile_of = [](int64_t m, int64_t n) {
    const cuda::Tile& tile = cuda::resident_tiles[cuda::choose_resident_tile(m, n)];
    return std::array{tile.rows, tile.columns};
  };
  CHECK((tile_of(64, 64) == std::array{64, 64}));
  CHECK((tile_of(128, 100) == std::array{64, 64}));
  CHECK((tile_of(64, 10) == std::array{64, 16}));
  CHECK((tile_of(10, 64) == std::array{16, 64}));
  CHECK((tile_of(32, 1) == std::array{16, 16}));
}

}  // namespace

int main() {
  if (runnable_isas().size() < 2) {
    std::printf("skipped: this CPU has no fused multiply-add\n");
    return 77;
  }
  test_a_small_step_is_one_kernel_with_the_bits_of_many();
  test_linear_models_of_any_loss_too();
  test_functions_of_elements_and_dropout_too();
  test_memory_that_shares_a_unit_with_other_memory_of_the_step_is_not_lost();
  test_what_the_kernel_cannot_do_is_launched();
  test_rows_of_what_a_step_changes_are_read_where_it_changes_them();
  test_more_than_a_multiprocessor_has_is_launched();
  test_few_steps_at_a_time_are_launched();
  test_more_arithmetic_than_launches_are_worth_is_launched();
  test_a_layout_keeps_what_touches_together_and_everything_aligned();
  test_tiles_follow_the_shape_of_the_product();
  return report();
}
