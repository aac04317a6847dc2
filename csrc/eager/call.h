// One call of a kernel: what every entry point of csrc/eager is told, and what becomes of its kernel: it runs now, on
// the CPU or on a device, or is added to a program.
#pragma once

#include "engine/program.h"
#include "kernels/dispatch.h"

namespace fastnn {

struct Call {
  const char* op;   // the operation's name, for messages
  int threads = 0;  // 0: num_threads()
  // Wraps work of more than a few microseconds; bindings let other Python threads run meanwhile. May be null.
  void (*around)(void (*work)(void*), void* context) = nullptr;
  engine::Program* program = nullptr;  // where given, kernels are added to it and nothing runs
  // Where given, kernels run there. All operands lie in its memory, but labels and indices, which the CPU reads.
  const DeviceBackend* device = nullptr;
};

// A scalar that may vary from step to step: a value, or the place where it is read each time.
struct Number {
  double value;
  const double* place = nullptr;
};

// Where a kernel reads `number`; it must outlive the call.
inline const double* place_of(const Call& call, const Number& number) {
  if (number.place) return number.place;
  return call.program ? call.program->number(number.value) : &number.value;
}

// Memory for the call, held by `memory`; in a program, as long as that lives.
inline std::byte* take(const Call& call, int64_t bytes, Buffer& memory) {
  if (call.program) return call.program->own(bytes, call.device);
  memory = call.device ? Buffer(call.device->allocate(bytes), call.device->release) : Buffer(bytes);
  return memory.data();
}

inline constexpr int max_scalars = 3;  // of one kernel

// When the wrapper is worth calling.
inline constexpr double nanoseconds_to_wrap = 10000;

// Waits until the CPU may look at what `device` has made.
inline void wait_for(const Call& call, const DeviceBackend& device) {
  auto work = [](void* backend) { static_cast<const DeviceBackend*>(backend)->synchronize(); };
  void* context = const_cast<DeviceBackend*>(&device);
  if (call.around) call.around(work, context);
  else work(context);
}

// Enqueues a kernel, whose scalars go to the device with it.
template <class Arguments>
[[gnu::noinline]] void launch(const Call& call, const Kernel<Arguments>& kernel, Arguments arguments) {
  const DeviceKernel<Arguments>& twin = device_kernel(*call.device, kernel);
  if (call.program) {
    engine::DeviceProgram& program = call.program->on(*call.device);
    engine::each_scalar(arguments, [&](const double*& place) { place = program.scalar(place); });
    return call.program->add(std::make_unique<engine::KernelLaunch<Arguments>>(twin, arguments));
  }
  double values[max_scalars];
  int64_t count = 0, workspace = twin.workspace ? twin.workspace(arguments) : 0;
  engine::each_scalar(arguments, [&](const double*& place) { values[count++] = *place; });
  Buffer scalar_memory, workspace_memory;
  if (count > 0) {
    const auto* on_device = reinterpret_cast<const double*>(take(call, sizeof(values), scalar_memory));
    call.device->copy(scalar_memory.data(), values, sizeof(values));
    engine::each_scalar(arguments, [&](const double*& place) { place = on_device++; });
  }
  twin.launch(arguments, workspace > 0 ? take(call, workspace, workspace_memory) : nullptr);
}

template <class Arguments>
void execute(const Call& call, const Kernel<Arguments>& kernel, const Arguments& arguments) {
  using Node = engine::KernelNode<Arguments>;
  if (call.device) return launch(call, kernel, arguments);
  if (call.program) return call.program->add(std::make_unique<Node>(kernel, arguments));
  Node node(kernel, arguments);
  engine::Job job(node, call.threads > 0 ? call.threads : num_threads(), engine::nanoseconds_for_a_call);
  Buffer memory;
  if (job.memory() > 0) memory = Buffer(job.memory());
  struct Run {
    const engine::Job* job;
    std::byte* memory;
  } run{&job, memory.data()};
  auto work = [](void* context) {
    FloatEnvironment environment;
    static_cast<Run*>(context)->job->run(static_cast<Run*>(context)->memory);
  };
  if (call.around && job.cost() > nanoseconds_to_wrap) call.around(work, &run);
  else work(&run);
}

}  // namespace fastnn
