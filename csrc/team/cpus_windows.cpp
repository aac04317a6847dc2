// The affinity that `start /affinity` or a job has given the process, within its group of up to 64 CPUs.
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <algorithm>
#include <bit>
#include <thread>

#include "team/team.h"

namespace fastnn {

int available_cpus(const char*) {
  DWORD_PTR mine = 0, machine = 0;
  if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &machine) && mine) return std::popcount(mine);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));  // of several groups, or it has none
}

int current_cpu() { return -1; }

void leave_cpu(int) {}

}  // namespace fastnn
