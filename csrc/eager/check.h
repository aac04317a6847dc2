// Checks that several entry points share. Each throws before anything is written.
#pragma once

#include <initializer_list>

#include "array/buffer.h"
#include "array/error.h"
#include "eager/call.h"

namespace fastnn {

// An array and what its caller calls it.
struct Argument {
  View view;
  const char* name;
};

// Class labels or indices, of any integer dtype.
struct Integers {
  const std::byte* data;
  int size;  // bytes of one
  bool is_signed;
  int64_t count, stride;  // in bytes
  const char* name;
};

// Where a result goes: an array of the caller's, or a fresh one.
class Output {
 public:
  virtual ~Output() = default;
  // The place for a result of this dtype and shape. Throws where the caller's own array does not fit.
  virtual View place(const Call& call, DType dtype, int rank, const int64_t* shape) = 0;
  bool given = false;  // the caller's own
};

int64_t count_of(const View& view);
bool is_contiguous(const View& view);
View contiguous_view(std::byte* data, DType dtype, int rank, const int64_t* shape);

void require_rank(const Call& call, const Argument& argument, int rank);
void require_dtype(const Call& call, const Argument& argument, std::initializer_list<DType> allowed);
void require_same_dtype(const Call& call, const Argument& a, const Argument& b);
void require_shape(const Call& call, const Argument& argument, std::initializer_list<int64_t> shape,
                   const char* reason);
void require_same_shape(const Call& call, const Argument& a, const Argument& b);
void require_contiguous(const Call& call, const Argument& argument);
// Of a scalar that is used in `dtype`.
void require_finite(const Call& call, const char* name, double value, DType dtype);
int require_axis(const Call& call, const Argument& x, int64_t axis);

bool overlaps(const View& a, const View& b);
// Whether elements of a view may share memory, as those of a broadcast axis or of a sliding window do.
bool overlaps_itself(const View& view);
// Rejects an `out` that shares memory with an operand.
void require_apart(const Call& call, const View& out, std::initializer_list<const Argument*> operands);

// The same elements without gaps: the view itself, or a copy in memory taken for the call.
View made_contiguous(const Call& call, const View& view, Buffer& memory);
// Copies elements between views of one shape, converting dtypes.
void copy(const Call& call, const View& from, const View& to);

// A private copy of labels in memory taken for the call, each in [0, classes) or equal to *ignore. Copied first, so
// that a thread that changes them meanwhile changes nothing here. In a program, they are read and checked in every
// step.
const int64_t* read_labels(const Call& call, const Integers& labels, int64_t classes, const int64_t* ignore,
                           Buffer& memory);
// The same of indices into so many `sides`; negative ones count from the end. IndexError.
const int64_t* read_indices(const Call& call, const Integers& indices, int64_t size, Buffer& memory,
                            const char* sides = "rows");

}  // namespace fastnn
