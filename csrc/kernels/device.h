// What a backend for a device hands over: memory that it shares with the CPU, a queue, and every kernel of the
// contract.
//
// A backend is a module of its own, imported where it is wanted; no header of its maker is needed here. Its function
// `backend()` gives a capsule named "fastnn.DeviceBackend", or raises RuntimeError that says why there is none. Its
// memory can be addressed by both sides (CUDA's managed memory), so that an array of it is an ordinary array to Python;
// it is moved to the device where kernels use it, and stays there until the CPU looks. Everything enqueued runs in
// order, copies too. The CPU touches this memory after synchronize() only, and enqueues nothing meanwhile; so memory
// that is released may be given out again at once. Functions throw std::bad_alloc, or DeviceError of array/error.h.
#pragma once

#include "kernels/kernels.h"

namespace fastnn {

inline constexpr int device_abi = 4;  // of everything below, and of the arguments in kernels.h

template <class Arguments>
struct DeviceKernel {
  int64_t (*workspace)(const Arguments&);                  // bytes, aligned to 256; null: none
  void (*launch)(const Arguments&, std::byte* workspace);  // enqueues; scalars are read when the kernel runs
};

struct DeviceBackend {
  int abi;
  const char* name;         // "cuda"
  const char* description;  // of the device, for show_config()
  int number;               // of the device, to other libraries
  void* stream;             // the queue, to other libraries: a cudaStream_t

  std::byte* (*allocate)(int64_t bytes);                // shared memory, aligned to 256; of 0 bytes too
  void (*release)(std::byte* memory);                   // when what is enqueued by now has used it; throws nothing
  bool (*owns)(const void* memory);                     // whether it lies in memory from allocate(), or at its end
  void (*prefetch)(const void* memory, int64_t bytes);  // to the device, ahead of its use
  // Enqueues a copy. Where `from` is the CPU's own memory, it has been read on return; where `to` is, it is written.
  void (*copy)(void* to, const void* from, int64_t bytes);
  void (*synchronize)();  // waits for all that is enqueued; throws what went wrong in it
  // Of two streams, that of another library among them: what `then` is given from now on comes after what `first` has.
  void (*order)(void* first, void* then);
  void (*settle)();  // waits for all streams of the device

  // Between begin and end, launches of this thread are kept instead of run: a graph, launched as often as one likes.
  void (*begin_graph)();
  void* (*end_graph)();
  void (*launch_graph)(void* graph, int64_t times);
  void (*release_graph)(void* graph);
  // What differs from step to step: copies of `bytes` from or to the slice at *index, which is read on the device.
  void (*copy_slice)(void* to, const void* from, int64_t bytes, const int64_t* index);
  void (*copy_to_slice)(void* to, const void* from, int64_t bytes, const int64_t* index);
  void (*increment)(int64_t* index);

  Table<DeviceKernel> kernels;
  // Several updates in one launch: of one dtype, and none writes what another reads or writes.
  void (*sgd_updates)(const Sgd* updates, int64_t count);
  void (*adam_updates)(const Adam* updates, int64_t count);
  // Takes a library into use, for products of a precision other than float32, unless one is; gives its name and
  // version. Throws DeviceError where the file cannot be loaded; so does such a product without a library.
  const char* (*load_library)(const char* file);
};

}  // namespace fastnn
