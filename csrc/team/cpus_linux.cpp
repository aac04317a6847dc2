// How many CPUs the process may use, and which. Containers limit by quota, not by affinity: a team as wide as the
// machine would be throttled (seen in oneTBB, OpenBLAS and many more).
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>

#include "team/team.h"

namespace fastnn {
namespace {

int affinity() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

double quota_v2(const std::string& file) {
  std::ifstream in(file);
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return HUGE_VAL;
  return std::atof(quota.c_str()) / period;
}

double quota_v1(const std::string& folder) {
  std::ifstream q(folder + "/cpu.cfs_quota_us"), p(folder + "/cpu.cfs_period_us");
  double quota = -1, period = 0;
  if (!(q >> quota) || !(p >> period) || quota <= 0 || period <= 0) return HUGE_VAL;
  return quota / period;
}

// The smallest quota on the way from the process's group to the root.
double cgroup_quota(const std::string& root) {
  double smallest = HUGE_VAL;
  std::ifstream in(root + "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    bool v2 = controllers.empty();
    if (!v2 && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    std::string base = root + "sys/fs/cgroup" + (v2 ? "" : "/cpu");
    for (;;) {
      smallest = std::min(smallest, v2 ? quota_v2(base + path + "/cpu.max") : quota_v1(base + path));
      size_t slash = path.rfind('/');
      if (slash == std::string::npos || path == "/") break;
      path.resize(slash);
    }
    // In a container the path often names a group outside the mount; the mount's own root is what counts then.
    smallest = std::min(smallest, v2 ? quota_v2(base + "/cpu.max") : quota_v1(base));
  }
  return smallest;
}

}  // namespace

int available_cpus(const char* root) {
  int cpus = affinity();
  double quota = cgroup_quota(root);
  return quota < cpus ? std::max(1, static_cast<int>(std::ceil(quota))) : cpus;
}

int current_cpu() { return sched_getcpu(); }

void leave_cpu(int cpu) {
  cpu_set_t all, others;
  if (cpu < 0 || sched_getcpu() != cpu || sched_getaffinity(0, sizeof(all), &all) != 0 || CPU_COUNT(&all) < 2) return;
  others = all;
  CPU_CLR(cpu, &others);
  sched_setaffinity(0, sizeof(others), &others);
  sched_setaffinity(0, sizeof(all), &all);
}

}  // namespace fastnn
