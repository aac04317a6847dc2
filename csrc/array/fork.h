// What has to be put right around a fork, on systems that have one.
#pragma once

namespace fastnn {

// Has the three called around every fork from now on: before it, and after it in the parent and in the child. Null:
// nothing to do there.
void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)());

}  // namespace fastnn
