// How a worker comes into being.
#pragma once

#include <functional>

namespace fastnn {

// Runs `work` on a thread of its own that nobody waits for. Signals are the main thread's: Ctrl-C must reach Python.
// Throws where the system has no more threads, or no memory for one.
void start_thread(std::function<void()> work);

}  // namespace fastnn
