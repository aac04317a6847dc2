// Facts that are tried in a forked child, whose team is fresh.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "checks.h"

namespace {

// (QEMU's user mode cannot start threads in a child of a process that had some.)
inline bool holds_in_a_child(bool (*fact)()) {
#ifdef FASTNN_EMULATED
  std::printf("not tried under an emulator: what a forked child does\n");
  return true;
#endif
  pid_t child = fork();
  if (child == 0) _exit(fact() ? 0 : 1);
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
