// The core without Python: entry points, errors, the team, and what a container leaves of the machine.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
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

void a_forked_child_has_a_team_of_its_own() {
  pid_t child = fork();
  if (child == 0) {
    std::atomic<int> sum{0};
    run_on_team(
        100, 4,
        [](void* context, int64_t first, int64_t last, int) {
          static_cast<std::atomic<int>*>(context)->fetch_add(static_cast<int>(last - first));
        },
        &sum);
    _exit(sum.load() == 100 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void a_quota_narrows_the_team() {
  namespace fs = std::filesystem;
  char name[] = "/tmp/fastnn-cgroup-XXXXXX";
  fs::path root = mkdtemp(name);
  auto write = [&](const char* file, const char* text) {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  };
  std::string at = root.string() + "/";
  int all = available_cpus(at.c_str());
  CHECK(all >= 1);
  write("proc/self/cgroup", "0::/work/job\n");
  write("sys/fs/cgroup/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/work/job/cpu.max", "max 100000\n");
  CHECK(available_cpus(at.c_str()) == all);
  write("sys/fs/cgroup/work/cpu.max", "50000 100000\n");
  CHECK(available_cpus(at.c_str()) == 1);
  fs::remove_all(root / "sys");
  write("proc/self/cgroup", "4:cpu,cpuacct:/job\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  CHECK(available_cpus(at.c_str()) == 1);
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  CHECK(available_cpus(at.c_str()) == all);
  fs::remove_all(root);
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
  errors_name_the_operation_and_the_argument();
  every_item_runs_once_whoever_calls();
  a_forked_child_has_a_team_of_its_own();
  a_quota_narrows_the_team();
  memory_is_aligned_and_comes_back();
  return report();
}
