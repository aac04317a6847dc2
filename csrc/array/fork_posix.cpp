#include <pthread.h>

#include "array/fork.h"

namespace fastnn {

void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) { pthread_atfork(before, in_parent, in_child); }

}  // namespace fastnn
