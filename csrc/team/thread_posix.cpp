#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

#include "team/thread.h"

namespace fastnn {
namespace {

// A thread begins with the mask of the one that starts it. What its own fault raises stays open to handlers such as
// Python's faulthandler; blocked, it would end the process without a word.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

void start_thread(std::function<void()> work) {
  BlockedSignals blocked;
  std::thread(std::move(work)).detach();
}

}  // namespace fastnn
