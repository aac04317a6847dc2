// What a graph is made of, noted while it is captured, in terms of the contract: from such notes resident.h makes one
// kernel that runs many steps.
//
// A function that enqueues kernels says what they do together by a Noting, which lives as long as they are enqueued.
// Launches that nobody has spoken for make the notes incomplete, and then the graph is only launched.
#pragma once

#include <variant>
#include <vector>

#include "kernels/kernels.h"

namespace fastnn::cuda {

// A linear layer of few outputs, whose sums have an expression of their own.
struct NarrowProduct {
  Product product;
};
struct Sums {
  Reduce reduce;
  bool is_mean;
};
struct Mapping {
  Elementwise elements;
  int function;  // a number of AllFunctions
};
struct Dropping {
  Random random;
};
struct RowLosses {
  CrossEntropy loss;
  std::byte* workspace;
};
// Copies `bytes` to or from the slice at an index; null: 0.
struct Slice {
  void* to;
  const void* from;
  int64_t bytes;
  const int64_t *to_index, *from_index;
};
struct Increment {
  int64_t* index;
};
using Note = std::variant<Product, NarrowProduct, Mapping, Dropping, Gather, RowLosses, SquaredError, Sums, Sgd, Adam,
                          Slice, Increment>;

// Of the graph that this thread captures, in the order in which it runs.
struct Recording {
  bool is_open = false, is_complete = true;
  int notings = 0;       // alive
  int64_t launches = 0;  // of kernels and copies
  std::vector<Note> notes;
};
Recording& recording();

class Noting {
 public:
  template <class Call>
  explicit Noting(const Call* calls, int64_t count = 1) {
    ++recording().notings;
    if (recording().is_open) recording().notes.insert(recording().notes.end(), calls, calls + count);
  }
  ~Noting() { --recording().notings; }
  Noting(const Noting&) = delete;
  Noting& operator=(const Noting&) = delete;
};

// Something is enqueued.
inline void note_launch() {
  ++recording().launches;
  if (recording().notings == 0) recording().is_complete = false;
}

}  // namespace fastnn::cuda
