#include "team/team.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>

#include "array/error.h"
#include "array/fork.h"
#include "team/float_environment.h"
#include "team/thread.h"

namespace fastnn {
namespace {

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr auto spin_time = std::chrono::microseconds(60);

class Team {
 public:
  // Two items at least, on two threads at least.
  void run(int64_t items, int threads, Task task, void* context) {
    std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock) return task(context, 0, items, 0);
    threads = static_cast<int>(std::min<int64_t>(threads, items));
    recruit(threads - 1);
    task_ = task, context_ = context, items_ = items, cpu_ = current_cpu();
    threads_ = std::min(threads, workers_ + 1);
    for (int i = 0; i < threads_; ++i) shares_[i].next.store(first_of(i), std::memory_order_relaxed);
    gate_.store((++job_ << 32) | open, std::memory_order_release);
    signal_.fetch_add(1, std::memory_order_release);
    signal_.notify_all();
    work(0);
    gate_.fetch_and(~open, std::memory_order_acq_rel);
    while (gate_.load(std::memory_order_acquire) & active_mask) relax();
  }

 private:
  // gate_: number of the job << 32 | open << 31 | workers inside.
  static constexpr uint64_t open = uint64_t{1} << 31, active_mask = open - 1;

  // Every thread begins with its own share of the items, the same one for the same job: its caches may still hold what
  // it wrote there the last time. Half of what is left of a share is taken at a time, and who has done with its own
  // takes from those of others.
  void work(int worker) {
    for (int i = 0; i < threads_; ++i) {
      int owner = (worker + i) % threads_;
      std::atomic<int64_t>& next = shares_[owner].next;
      const int64_t end = first_of(owner + 1);
      for (int64_t first = next.load(std::memory_order_relaxed); first < end;) {
        int64_t last = first + (end - first + 1) / 2;
        if (!next.compare_exchange_weak(first, last, std::memory_order_relaxed)) continue;
        task_(context_, first, last, worker);
        first = next.load(std::memory_order_relaxed);
      }
    }
  }

  int64_t first_of(int share) const { return items_ * share / threads_; }

  void worker_loop(int worker) {
    FloatEnvironment environment;
    uint64_t done = 0;
    for (;;) {
      uint32_t signal = signal_.load(std::memory_order_acquire);
      auto deadline = std::chrono::steady_clock::now() + spin_time;
      for (int turn = 0;; ++turn) {
        uint64_t gate = gate_.load(std::memory_order_acquire);
        if ((gate & open) && gate >> 32 != done) {
          // Who gets in before the job closes will be waited for; who does not must not touch it.
          if (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) continue;
          done = gate >> 32;
          leave_cpu(cpu_);
          if (worker < threads_) work(worker);
          gate_.fetch_sub(1, std::memory_order_acq_rel);
          break;
        }
        relax();
        if (turn % 64 == 63 && std::chrono::steady_clock::now() > deadline) {
          signal_.wait(signal, std::memory_order_acquire);
          break;
        }
      }
    }
  }

  void recruit(int wanted) {
    if (workers_ >= wanted) return;
    try {
      while (workers_ < wanted) {
        start_thread([this, worker = workers_ + 1] { worker_loop(worker); });
        ++workers_;
      }
    } catch (const std::exception&) {
      // The system gives no more threads, or no memory for one; fewer do the same work.
    }
  }

  std::mutex busy_;
  int workers_ = 0;
  uint64_t job_ = 0;
  Task task_ = nullptr;
  void* context_ = nullptr;
  int64_t items_ = 0;
  int threads_ = 1, cpu_ = -1;
  // Each on a cache line of its own: a share is written at every turn, the gate is watched while spinning.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};  // the first item that nobody has taken
  } shares_[max_threads];
  alignas(64) std::atomic<uint64_t> gate_{0};
  alignas(64) std::atomic<uint32_t> signal_{0};
};

// Never destroyed: its threads may outlive every static. A forked child has none of the threads, so it gets a new one.
std::atomic<Team*> current{nullptr};

void after_fork() { current.store(nullptr, std::memory_order_release); }

Team& team() {
  Team* team = current.load(std::memory_order_acquire);
  if (team) return *team;
  static std::once_flag registered;
  std::call_once(registered, [] { at_fork(nullptr, nullptr, after_fork); });
  auto* fresh = new Team;
  if (current.compare_exchange_strong(team, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *team;
}

std::atomic<int> default_threads{0};

}  // namespace

void run_on_team(int64_t items, int threads, Task task, void* context) {
  if (threads < 2 || items < 2) return task(context, 0, items, 0);
  team().run(items, threads, task, context);
}

int num_threads() {
  int threads = default_threads.load(std::memory_order_relaxed);
  if (threads > 0) return threads;
  threads = num_threads_of_environment();
  if (threads == 0) threads = std::min(available_cpus(), max_threads);
  default_threads.store(threads, std::memory_order_relaxed);
  return threads;
}

int num_threads_of_environment() {
  const char* text = std::getenv("FASTNN_NUM_THREADS");
  if (!text || !*text) return 0;
  const char* end = text + std::strlen(text);
  int threads = 0;
  auto [read, error] = std::from_chars(text, end, threads);
  if (error != std::errc() || read != end || threads < 1 || threads > max_threads)
    raise<ValueError>("FASTNN_NUM_THREADS", "'", text, "' must be a whole number from 1 to ", max_threads);
  return threads;
}

void set_num_threads(int threads) { default_threads.store(threads, std::memory_order_relaxed); }

}  // namespace fastnn
