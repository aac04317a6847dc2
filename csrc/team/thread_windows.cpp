#include <thread>
#include <utility>

#include "team/thread.h"

namespace fastnn {

// Ctrl-C comes on a thread that Windows starts for it: there is nothing to block.
void start_thread(std::function<void()> work) { std::thread(std::move(work)).detach(); }

}  // namespace fastnn
