// Where threads run, what they leave to the main thread, and what a container leaves of the machine.
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "child.h"

namespace {

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
#ifdef __SANITIZE_THREAD__
  return;  // the sanitizer has a thread of its own
#endif
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

}  // namespace

int main() {
  a_thread_leaves_a_cpu_and_may_come_back();
  workers_leave_signals_to_the_main_thread_but_not_their_faults();
  a_quota_narrows_the_team();
  return report();
}
