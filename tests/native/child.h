// Facts that are tried in a forked child, whose team is fresh.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "checks.h"

// Where branches are counted: writes down those taken, which _exit leaves undone.
extern "C" [[gnu::weak]] void __gcov_dump();

namespace {

// (QEMU's user mode cannot start threads in a child of a process that had some.)
inline bool holds_in_a_child(bool (*fact)()) {
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

inline int sum_on_team(int threads) {
  std::atomic<int> sum{0};
  run_on_team(
      100, threads,
      [](void* context, int64_t first, int64_t last, int) {
        static_cast<std::atomic<int>*>(context)->fetch_add(static_cast<int>(last - first));
      },
      &sum);
  return sum.load();
}

}  // namespace
