#include "eager/check.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "eager/eager.h"

namespace fastnn {

int64_t count_of(const View& view) {
  int64_t count = 1;
  for (int i = 0; i < view.rank; ++i) count *= view.shape[i];
  return count;
}

bool is_contiguous(const View& view) {
  if (count_of(view) == 0) return true;  // NumPy gives empty arrays strides of 0
  int64_t step = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    if (view.shape[i] != 1 && view.strides[i] != step) return false;
    step *= view.shape[i];
  }
  return true;
}

View contiguous_view(std::byte* data, DType dtype, int rank, const int64_t* shape) {
  View view{data, dtype, rank, {}, {}};
  int64_t step = 1;
  for (int i = rank - 1; i >= 0; --i) {
    view.shape[i] = shape[i];
    view.strides[i] = step;
    step *= shape[i];
  }
  return view;
}

void require_rank(const Call& call, const Argument& argument, int rank) {
  if (argument.view.rank != rank)
    raise<ValueError>(call.op, argument.name, " must have ", rank, " dimension", rank == 1 ? "" : "s", ", not shape ",
                      ShapeOf(argument.view));
}

void require_dtype(const Call& call, const Argument& argument, std::initializer_list<DType> allowed) {
  std::string names;
  for (DType dtype : allowed) {
    if (argument.view.dtype == dtype) return;
    names += (names.empty() ? "" : ", ") + std::string(name_of(dtype));
  }
  raise<TypeError>(call.op, argument.name, " is ", name_of(argument.view.dtype), "; it must be one of ", names);
}

void require_same_dtype(const Call& call, const Argument& a, const Argument& b) {
  if (a.view.dtype != b.view.dtype)
    raise<TypeError>(call.op, a.name, " is ", name_of(a.view.dtype), " but ", b.name, " is ", name_of(b.view.dtype),
                     "; cast one of them");
}

void require_shape(const Call& call, const Argument& argument, std::initializer_list<int64_t> shape,
                   const char* reason) {
  const View& view = argument.view;
  bool same = view.rank == static_cast<int>(shape.size());
  for (int i = 0; same && i < view.rank; ++i) same = view.shape[i] == shape.begin()[i];
  if (!same)
    raise<ValueError>(call.op, argument.name, " has shape ", ShapeOf(view), " but must be ",
                      ShapeOf(shape.begin(), static_cast<int>(shape.size())), reason);
}

void require_same_shape(const Call& call, const Argument& a, const Argument& b) {
  bool same = a.view.rank == b.view.rank;
  for (int i = 0; same && i < a.view.rank; ++i) same = a.view.shape[i] == b.view.shape[i];
  if (!same)
    raise<ValueError>(call.op, a.name, " has shape ", ShapeOf(a.view), " but ", b.name, " has ", ShapeOf(b.view),
                      "; they must be equal");
}

void require_contiguous(const Call& call, const Argument& argument) {
  if (!is_contiguous(argument.view))
    raise<ValueError>(call.op, argument.name, " must be C-contiguous, as it is updated in place; its shape is ",
                      ShapeOf(argument.view));
}

void require_finite(const Call& call, const char* name, double value, DType dtype) {
  bool finite = dtype == DType::float32 ? std::isfinite(static_cast<float>(value)) : std::isfinite(value);
  if (!finite) raise<ValueError>(call.op, name, " = ", value, " must be finite in ", name_of(dtype));
}

int require_axis(const Call& call, const Argument& x, int64_t axis) {
  int rank = x.view.rank;
  if (axis < -rank || axis >= rank)
    raise<ValueError>(call.op, "axis = ", axis, " is out of range: ", x.name, " has shape ", ShapeOf(x.view));
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

bool overlaps(const View& a, const View& b) {
  struct Extent {
    const std::byte *first, *last;
  };
  auto extent = [](const View& v) {
    int64_t low = 0, high = 0;
    for (int i = 0; i < v.rank; ++i) {
      if (v.shape[i] == 0) return Extent{v.data, v.data};
      (v.strides[i] < 0 ? low : high) += v.strides[i] * (v.shape[i] - 1);
    }
    int64_t size = item_size(v.dtype);
    return Extent{v.data + low * size, v.data + (high + 1) * size};
  };
  Extent x = extent(a), y = extent(b);
  return x.first < y.last && y.first < x.last;
}

bool overlaps_itself(const View& view) {
  if (count_of(view) == 0) return false;
  auto extent = [&](int axis) { return std::abs(view.strides[axis]) * (view.shape[axis] - 1); };
  for (int i = 0; i < view.rank; ++i) {
    if (view.shape[i] == 1) continue;
    // A step along an axis must lead out of all that the axes of smaller steps reach.
    int64_t reached = 0;
    for (int j = 0; j < view.rank; ++j)
      if (j != i && std::abs(view.strides[j]) <= std::abs(view.strides[i])) reached += extent(j);
    if (std::abs(view.strides[i]) <= reached) return true;
  }
  return false;
}

void require_apart(const Call& call, const View& out, std::initializer_list<const Argument*> operands) {
  for (const Argument* operand : operands)
    if (operand && overlaps(out, operand->view))
      raise<ValueError>(call.op, "out overlaps ", operand->name, " in memory; give it memory of its own");
}

void copy(const Call& call, const View& from, const View& to) {
  struct Place : Output {
    View view;
    View place(const Call&, DType, int, const int64_t*) override { return view; }
  } place;
  place.view = to;
  eager::cast(call, {from, "x"}, to.dtype, to.rank, to.shape, place);
}

View made_contiguous(const Call& call, const View& view, Buffer& memory) {
  if (is_contiguous(view)) return view;
  int64_t bytes = item_size(view.dtype);
  for (int i = 0; i < view.rank; ++i) bytes = checked_multiply(call.op, bytes, view.shape[i]);
  View whole = contiguous_view(take(call, bytes, memory), view.dtype, view.rank, view.shape);
  copy(call, view, whole);
  return whole;
}

namespace {

template <class T>
void read_all(const engine::Reading& reading) {
  for (int64_t i = 0; i < reading.count; ++i) {
    T value;
    std::memcpy(&value, reading.from + i * reading.stride, sizeof(T));
    reading.to[i] = static_cast<int64_t>(value);
  }
}

void copy_integers(const engine::Reading& reading, bool is_signed) {
  switch (reading.size) {
    case 1: return is_signed ? read_all<int8_t>(reading) : read_all<uint8_t>(reading);
    case 2: return is_signed ? read_all<int16_t>(reading) : read_all<uint16_t>(reading);
    case 4: return is_signed ? read_all<int32_t>(reading) : read_all<uint32_t>(reading);
    default:
      if (reading.stride != 8) return read_all<int64_t>(reading);
      std::memcpy(reading.to, reading.from, static_cast<size_t>(reading.count) * 8);
  }
}

// As they nearly always are: no branch for each.
bool all_below(int64_t size, const engine::Reading& reading) {
  bool below = true;
  for (int64_t i = 0; i < reading.count; ++i)
    below &= static_cast<uint64_t>(reading.to[i]) < static_cast<uint64_t>(size);
  return below;
}

// A uint64 that int64 does not hold, and has become negative.
bool is_beyond(const Integers& from, int64_t value) { return !from.is_signed && value < 0; }

std::string shown(const Integers& from, int64_t value) {
  return is_beyond(from, value) ? std::to_string(static_cast<uint64_t>(value)) : std::to_string(value);
}

struct Labels {
  const char* op;
  Integers from;
  int64_t classes;
  bool may_ignore;
  int64_t ignored;

  void read(const engine::Reading& reading) const {
    copy_integers(reading, from.is_signed);
    const int64_t* to = reading.to;
    if (all_below(classes, reading)) return;
    for (int64_t i = 0; i < reading.count; ++i)
      if ((to[i] < 0 || to[i] >= classes) && (!may_ignore || to[i] != ignored || is_beyond(from, to[i])))
        raise<ValueError>(op, from.name, "[", i, "] = ", shown(from, to[i]), " is not a class index: there are ",
                          classes, " classes, 0 to ", classes - 1);
  }
};

struct Indices {
  const char* op;
  Integers from;
  int64_t size;
  const char* sides;

  void read(const engine::Reading& reading) const {
    copy_integers(reading, from.is_signed);
    int64_t* to = reading.to;
    if (all_below(size, reading)) return;
    for (int64_t i = 0; i < reading.count; ++i) {
      if (to[i] < -size || to[i] >= size || is_beyond(from, to[i]))
        raise<IndexError>(op, from.name, "[", i, "] = ", shown(from, to[i]), " is out of range for ", size, " ", sides);
      if (to[i] < 0) to[i] += size;
    }
  }
};

template <class Checking>
class CheckedNode final : public engine::ReadNode {
 public:
  CheckedNode(const engine::Reading& reading, const Checking& checking) : ReadNode(reading), checking_(checking) {}
  void read(const engine::Reading& reading) const override { checking_.read(reading); }

 private:
  Checking checking_;
};

// Where kernels find the integers that `checking` lets through.
template <class Checking>
const int64_t* read(const Call& call, const Checking& checking, Buffer& memory) {
  const Integers& from = checking.from;
  const int64_t bytes = checked_multiply(call.op, from.count, 8);
  engine::Reading reading{from.data, from.size, from.count, from.stride, nullptr};
  if (call.program) {
    reading.to = call.device ? call.program->on(*call.device).integers(from.count)
                             : reinterpret_cast<int64_t*>(call.program->own(bytes));
    call.program->add(std::make_unique<CheckedNode<Checking>>(reading, checking));
    return reading.to;
  }
  if (is_on_device(from.data)) wait_for(call, *device());
  Buffer own(bytes);
  reading.to = reinterpret_cast<int64_t*>(own.data());
  checking.read(reading);
  if (call.device) call.device->copy(take(call, bytes, memory), own.data(), bytes);
  else memory = std::move(own);
  return reinterpret_cast<const int64_t*>(memory.data());
}

}  // namespace

const int64_t* read_labels(const Call& call, const Integers& labels, int64_t classes, const int64_t* ignore,
                           Buffer& memory) {
  return read(call, Labels{call.op, labels, classes, ignore != nullptr, ignore ? *ignore : 0}, memory);
}

const int64_t* read_indices(const Call& call, const Integers& indices, int64_t size, Buffer& memory,
                            const char* sides) {
  return read(call, Indices{call.op, indices, size, sides}, memory);
}

}  // namespace fastnn
