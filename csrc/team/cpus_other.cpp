// Systems without affinity and without quotas, such as macOS: all CPUs are the process's, and threads stay where the
// system puts them.
#include <algorithm>
#include <thread>

#include "team/team.h"

namespace fastnn {

int available_cpus(const char*) { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

int current_cpu() { return -1; }

void leave_cpu(int) {}

}  // namespace fastnn
