// The core without Python: entry points, errors, the team, and what a container leaves of the machine.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfenv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "checks.h"

// Memory that runs out when a test says so.
thread_local bool no_memory = false;

void* operator new(size_t bytes) {
  void* block = no_memory ? nullptr : std::malloc(bytes);
  return block ? block : throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }

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

void a_product_of_few_rows_packs_panel_by_panel() {
  const int64_t m = 8, n = 2048, k = 2048;
  std::vector<float> x(m * k), weight(n * k), y(m * n);
  Product product{};
  product.m = m, product.n = n, product.k = k, product.alpha = 1;
  product.a = x.data(), product.a_row = k, product.a_column = 1;
  product.b = weight.data(), product.b_row = 1, product.b_column = k;
  product.c = y.data(), product.c_row = n;
  kernels().linear.choose(product);
  Work work = kernels().linear.work(product);
  CHECK(work.workspace == 0);
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

// Where branches are counted: writes down those taken, which _exit leaves undone.
extern "C" [[gnu::weak]] void __gcov_dump();

// In a child, whose team is fresh. (QEMU's user mode cannot start threads in a child of a process that had some.)
bool holds_in_a_child(bool (*fact)()) {
#ifdef FASTNN_EMULATED
  std::printf("not tried under an emulator: what a forked child does\n");
  return true;
#endif
  pid_t child = fork();
  if (child == 0) {
    bool holds = fact();
    if (__gcov_dump) __gcov_dump();
    _exit(holds ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int sum_on_team(int threads) {
  std::atomic<int> sum{0};
  run_on_team(
      100, threads,
      [](void* context, int64_t first, int64_t last, int) {
        static_cast<std::atomic<int>*>(context)->fetch_add(static_cast<int>(last - first));
      },
      &sum);
  return sum.load();
}

void a_forked_child_has_a_team_of_its_own() {
  sum_on_team(4);
  CHECK(holds_in_a_child([] { return sum_on_team(4) == 100; }));
}

void a_team_without_memory_is_smaller_and_signals_stay_as_they_were() {
  CHECK(holds_in_a_child([] {
    sum_on_team(2);
    no_memory = true;
    int sum = sum_on_team(4);
    no_memory = false;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    return sum == 100 && !sigismember(&blocked, SIGINT);
  }));
}

#ifdef __linux__
void a_thread_leaves_a_cpu_and_may_come_back() {
  cpu_set_t before, after;
  sched_getaffinity(0, sizeof(before), &before);
  int cpu = current_cpu();
  leave_cpu(cpu);
  sched_getaffinity(0, sizeof(after), &after);
  CHECK(CPU_COUNT(&before) == 1 || current_cpu() != cpu);
  CHECK(CPU_EQUAL(&before, &after));
}

// The masks of blocked signals of all threads but the main one.
std::vector<uint64_t> blocked_by_workers() {
  std::vector<uint64_t> masks;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    if (thread.path().filename() == std::to_string(getpid())) continue;
    std::ifstream status(thread.path() / "status");
    for (std::string word; status >> word;)
      if (uint64_t mask; word == "SigBlk:" && status >> std::hex >> mask) masks.push_back(mask);
  }
  return masks;
}

void workers_leave_signals_to_the_main_thread_but_not_their_faults() {
  CHECK(holds_in_a_child([] {
    sum_on_team(3);
    auto good = [](uint64_t mask) {
      auto blocks = [=](int signal) { return (mask >> (signal - 1) & 1) != 0; };
      return blocks(SIGINT) && blocks(SIGTERM) && !blocks(SIGSEGV) && !blocks(SIGBUS) && !blocks(SIGFPE) &&
             !blocks(SIGILL);
    };
    for (int turn = 0; turn < 5000; ++turn) {  // a thread that has only just begun blocks all
      std::vector<uint64_t> masks = blocked_by_workers();
      if (masks.size() == 2 && good(masks[0]) && good(masks[1])) return true;
      usleep(1000);
    }
    return false;
  }));
}
#endif

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
  // What no kernel writes limits nothing.
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "0\n");
  CHECK(available_cpus(at.c_str()) == all);
  fs::remove(root / "sys/fs/cgroup/cpu/job/cpu.cfs_period_us");
  CHECK(available_cpus(at.c_str()) == all);
  write("sys/fs/cgroup/cpu.max", "50000 0\n");
  write("proc/self/cgroup", "nonsense\n4:nonsense\n3:memory:/job\n0::\n");
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

void memory_that_there_is_no_room_to_remember_is_given_back() {
  std::vector<std::byte*> blocks;
  for (int i = 0; i < 100; ++i) blocks.push_back(allocate(777));
  no_memory = true;
  for (std::byte* block : blocks) release(block);
  no_memory = false;
  Buffer buffer(777);
  std::memset(buffer.data(), 1, 777);
}

}  // namespace

int main() {
  a_product_is_right_on_every_thread_count();
  a_product_of_few_rows_packs_panel_by_panel();
  errors_name_the_operation_and_the_argument();
  every_item_runs_once_whoever_calls();
  a_forked_child_has_a_team_of_its_own();
  a_team_without_memory_is_smaller_and_signals_stay_as_they_were();
#ifdef __linux__
  a_thread_leaves_a_cpu_and_may_come_back();
  workers_leave_signals_to_the_main_thread_but_not_their_faults();
#endif
  what_the_caller_has_set_changes_no_bit_and_stays_set();
  a_quota_narrows_the_team();
  memory_is_aligned_and_comes_back();
  memory_that_there_is_no_room_to_remember_is_given_back();
  return report();
}
