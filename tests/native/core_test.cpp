// The core without Python: entry points, errors, the team.
#include <algorithm>
#include <atomic>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "checks.h"

namespace {

void a_product_is_right_on_every_thread_count() {
  const int64_t m = 67, n = 45, k = 300;
  std::vector<float> a(m * k), b(k * n), c(m * n), again(m * n);
  for (size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i));
  for (size_t i = 0; i < b.size(); ++i) b[i] = std::cos(static_cast<float>(i));
  for (int threads : {1, 2, 3, 8}) {
    Into out(view(threads == 1 ? c : again, {m, n}));
    eager::matmul({"matmul", threads}, {view(a, {m, k}), "a"}, {view(b, {k, n}), "b"}, nullptr, {}, out);
    if (threads > 1) CHECK(std::memcmp(c.data(), again.data(), c.size() * sizeof(float)) == 0);
  }
  double exact = 0;
  for (int64_t i = 0; i < k; ++i) exact += double{a[3 * k + i]} * double{b[i * n + 7]};
  CHECK(std::fabs(c[3 * n + 7] - exact) <= static_cast<double>(k) * 0x1p-24 * static_cast<double>(k));
}

void a_product_of_few_rows_keeps_no_copy_of_the_weights() {
  const int64_t m = 8, n = 2048, k = 2048;
  std::vector<float> x(m * k), weight(n * k), y(m * n);
  Product product{};
  product.m = m, product.n = n, product.k = k, product.alpha = 1;
  product.a = x.data(), product.a_row = k, product.a_column = 1;
  product.b = weight.data(), product.b_row = 1, product.b_column = k;
  product.c = y.data(), product.c_row = n;
  kernels().linear.choose(product);
  Work work = kernels().linear.work(product);
  CHECK(work.workspace <= 32 * k * 4);  // the batch, turned into a panel
  CHECK(work.scratch < 256 * 1024);
  CHECK(work.items[1] > 1);
}

void errors_name_the_operation_and_the_argument() {
  std::vector<float> a(6), b(6), c(4);
  std::string message = message_of<ValueError>([&] {
    Into out(view(c, {2, 2}));
    eager::matmul({"matmul"}, {view(a, {2, 3}), "a"}, {view(b, {2, 3}), "b"}, nullptr, {}, out);
  });
  CHECK(message == "[matmul] a is (2, 3) but b is (2, 3): a's columns must equal b's rows");
  int64_t label = 7;
  Integers labels{reinterpret_cast<std::byte*>(&label), 8, true, 1, 8, "target"};
  message = message_of<ValueError>([&] {
    Into loss(view(c, {}));
    eager::cross_entropy({"cross_entropy"}, {view(a, {1, 6}), "logits"}, &labels, nullptr, nullptr, {}, loss, nullptr);
  });
  CHECK(message == "[cross_entropy] target[0] = 7 is not a class index: there are 6 classes, 0 to 5");
}

void every_item_runs_once_whoever_calls() {
  auto count = [](void* context, int64_t first, int64_t last, int) {
    auto* counts = static_cast<std::atomic<int>*>(context);
    for (int64_t i = first; i < last; ++i) counts[i].fetch_add(1);
  };
  auto rounds = [&] {
    std::vector<std::atomic<int>> counts(1000);
    for (int round = 0; round < 2000; ++round) {
      int64_t items = 1 + round % 1000;
      run_on_team(items, 1 + round % 5, count, counts.data());
    }
    int expected = 0;
    for (int round = 0; round < 2000; ++round) expected += 1 + round % 1000;
    int total = 0;
    for (auto& c : counts) total += c.load();
    CHECK(total == expected);
  };
  std::thread one(rounds), two(rounds), three(rounds);
  one.join(), two.join(), three.join();
}

// Rounding upward stands for all that a caller may have set.
void what_the_caller_has_set_changes_no_bit_and_stays_set() {
  const int64_t m = 67, n = 45, k = 300;
  std::vector<float> a(m * k), b(n * k), c(m * n), sum(1);
  for (size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i));
  for (size_t i = 0; i < b.size(); ++i) b[i] = std::cos(static_cast<float>(i));
  auto run = [&](int threads, engine::Program* program) {
    std::fill(c.begin(), c.end(), 0.f);
    Into product(view(c, {m, n})), total(view(sum, {}));
    Argument x{view(a, {m, k}), "x"}, weight{view(b, {n, k}), "weight"};
    eager::linear({"linear", threads, nullptr, program}, x, weight, nullptr, "gelu", product);
    Argument y{view(c, {m, n}), "x"};
    eager::reduce({"sum", threads, nullptr, program}, kernels().sum, eager::Reducing::sum, y, std::nullopt, false,
                  total);
    double result = 0;
    engine::Steps steps;
    steps.count = 1, steps.results = &result;
    if (program) program->run(steps, threads);
    return program ? result : double{sum[0]};
  };
  double expected = run(1, nullptr);
  std::vector<float> product = c;
  for (int threads : {1, 2, 3}) {
    for (bool recorded : {false, true}) {
      engine::Program program({view(sum, {})});
      std::fesetround(FE_UPWARD);
      double result = run(threads, recorded ? &program : nullptr);
      CHECK(std::fegetround() == FE_UPWARD);
      std::fesetround(FE_TONEAREST);
      CHECK(result == expected);
      CHECK(std::memcmp(c.data(), product.data(), c.size() * sizeof(float)) == 0);
    }
  }
}

void memory_is_aligned_and_comes_back() {
  for (int64_t bytes : {0, 1, 255, 256, 257, 1 << 20, (5 << 20) + 1}) {
    Buffer buffer(bytes);
    CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % alignment == 0);
    std::memset(buffer.data(), 1, static_cast<size_t>(bytes));
  }
  CHECK(message_of<ValueError>([] { checked_multiply("empty", int64_t{1} << 40, int64_t{1} << 40); }) != "no error");
}

}  // namespace

int main() {
  a_product_is_right_on_every_thread_count();
  a_product_of_few_rows_keeps_no_copy_of_the_weights();
  errors_name_the_operation_and_the_argument();
  every_item_runs_once_whoever_calls();
  what_the_caller_has_set_changes_no_bit_and_stays_set();
  memory_is_aligned_and_comes_back();
  return report();
}
