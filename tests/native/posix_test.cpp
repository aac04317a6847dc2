// What forks, signals and failing allocations do to the core.
#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "array/buffer.h"
#include "child.h"

// Memory that runs out when a test says so.
thread_local bool no_memory = false;

void* operator new(size_t bytes) {
  void* block = no_memory ? nullptr : std::malloc(bytes);
  return block ? block : throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }

namespace {

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
  a_forked_child_has_a_team_of_its_own();
  a_team_without_memory_is_smaller_and_signals_stay_as_they_were();
  memory_that_there_is_no_room_to_remember_is_given_back();
  return report();
}
