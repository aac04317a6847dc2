// The thread team: hands the items of a phase to a few long-lived threads.
//
// Workers spin briefly after a job, because the next one usually follows within microseconds, and then park. The
// caller works too and never waits for a worker that has not begun: a job closes when its items are gone.
// Results never depend on who ran what (kernels see to that), so the team may be as dynamic as it likes.
#pragma once

#include <cstdint>

namespace fastnn {

// Runs items [first, last) as worker number `worker` (0 is the caller).
using Task = void (*)(void* context, int64_t first, int64_t last, int worker);

// Runs all items of [0, items) on up to `threads` threads, the caller's included, and returns when all are done.
// Where the team is busy with another caller's job, this caller runs its items alone.
void run_on_team(int64_t items, int threads, Task task, void* context);

// The number of threads a call uses when it does not say: FASTNN_NUM_THREADS, or what the process may use.
int num_threads();
// FASTNN_NUM_THREADS, or 0 where it is not set. ValueError where it is no number of threads.
int num_threads_of_environment();
void set_num_threads(int threads);  // at least 1, at most max_threads
inline constexpr int max_threads = 256;

// CPUs this process may use: its affinity, cut by its cgroup's quota (rounded up). `root` is "/" but in tests.
int available_cpus(const char* root = "/");
int current_cpu();
// Moves this thread if it is on `cpu` and may be on another. A thread that was woken is often put where the one that
// woke it spins.
void leave_cpu(int cpu);

}  // namespace fastnn
