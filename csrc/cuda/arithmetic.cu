// Arithmetic, comparisons, selection and conversion, element by element: the expressions of cpu/arithmetic.cpp.
//
// Fast because it is one pass over memory, in packs of sixteen bytes (elementwise.h).
#include "cuda/elementwise.h"

namespace fastnn::cuda {
namespace {

// Calls visit(T{}) with the C++ type of a dtype; bool is a byte that holds 0 or 1.
template <class Visit>
void with_type(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::float32: return visit(float{});
    case DType::float64: return visit(double{});
    case DType::int64: return visit(int64_t{});
    case DType::int32: return visit(int32_t{});
    case DType::uint8:
    case DType::boolean: return visit(uint8_t{});
    case DType::float16: break;
  }
}

template <class Relation, class T>
struct Compared {
  static constexpr int inputs = 2;
  using Out = uint8_t;
  using A = T;
  using B = T;
  static FASTNN_INLINE uint8_t of(T a, T b) { return Relation::holds(a, b); }
};

template <class Relation>
DeviceKernel<Elementwise> comparison() {
  return {nullptr, [](const Elementwise& e, std::byte*) {
            with_type(e.in[0].dtype, [&]<class T>(T) { run<Compared<Relation, T>>(e); });
          }};
}

struct Equal {
  static FASTNN_INLINE bool holds(auto a, auto b) { return a == b; }
};
struct NotEqual {
  static FASTNN_INLINE bool holds(auto a, auto b) { return a != b; }
};
struct Less {
  static FASTNN_INLINE bool holds(auto a, auto b) { return a < b; }
};
struct LessEqual {
  static FASTNN_INLINE bool holds(auto a, auto b) { return a <= b; }
};
struct Greater {
  static FASTNN_INLINE bool holds(auto a, auto b) { return a > b; }
};
struct GreaterEqual {
  static FASTNN_INLINE bool holds(auto a, auto b) { return a >= b; }
};

// Values of any type are moved as bits of their size.
template <class Bits>
struct Where {
  static constexpr int inputs = 3;
  using Out = Bits;
  using A = uint8_t;
  using B = Bits;
  static FASTNN_INLINE Bits of(uint8_t condition, Bits a, Bits b) { return condition ? a : b; }
};

void where(const Elementwise& e, std::byte*) {
  switch (item_size(e.out.dtype)) {
    case 1: return run<Where<uint8_t>>(e);
    case 4: return run<Where<uint32_t>>(e);
    default: return run<Where<uint64_t>>(e);
  }
}

template <class From, class To, bool to_bool>
struct Cast {
  static constexpr int inputs = 1;
  using Out = To;
  using A = From;
  using B = From;
  static FASTNN_INLINE To of(From x) {
    if constexpr (to_bool) return x != 0;
    else return static_cast<To>(x);
  }
};

void cast(const Elementwise& e, std::byte*) {
  const DType from = e.in[0].dtype, to = e.out.dtype;
  if (from == to) {
    switch (item_size(to)) {
      case 1: return run<Cast<uint8_t, uint8_t, false>>(e);
      case 2: return run<Cast<uint16_t, uint16_t, false>>(e);
      case 4: return run<Cast<uint32_t, uint32_t, false>>(e);
      default: return run<Cast<uint64_t, uint64_t, false>>(e);
    }
  }
  with_type(from, [&]<class From>(From) {
    if (to == DType::boolean) return run<Cast<From, uint8_t, true>>(e);
    with_type(to, [&]<class To>(To) { run<Cast<From, To, false>>(e); });
  });
}

}  // namespace

void register_arithmetic(Table<DeviceKernel>& table) {
  table.add = numeric<Add>();
  table.subtract = numeric<Subtract>();
  table.multiply = numeric<Multiply>();
  table.divide = floating<Divide>();
  table.maximum = numeric<Maximum>();
  table.minimum = numeric<Minimum>();
  table.negative = numeric<Negative>();
  table.abs = numeric<Abs>();
  table.sign = numeric<Sign>();
  table.sqrt = floating<Sqrt>();
  table.equal = comparison<Equal>();
  table.not_equal = comparison<NotEqual>();
  table.less = comparison<Less>();
  table.less_equal = comparison<LessEqual>();
  table.greater = comparison<Greater>();
  table.greater_equal = comparison<GreaterEqual>();
  table.where = {nullptr, where};
  table.cast = {nullptr, cast};
}

}  // namespace fastnn::cuda
