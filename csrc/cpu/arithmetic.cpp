// Arithmetic, comparisons, selection and conversion, element by element.
//
// Each output element is one correctly rounded operation on the elements at its place; int64 wraps around. maximum and
// minimum give NaN where either operand is, sign(NaN) is NaN, and comparisons with NaN are false but for not_equal.
// Fast because elementwise.h hands over adjacent elements in pieces that stay in the first-level cache: what remains is
// one pass over memory.
#include "cpu/elementwise.h"

namespace fastnn {
namespace {

// ---- on vectors of one type -------------------------------------------------------------------------------------

struct Add : Numeric<Add, 2> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    return (Vec<T>)((Vec<Wrapping<T>>)a + (Vec<Wrapping<T>>)b);
  }
};

struct Subtract : Numeric<Subtract, 2> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    return (Vec<T>)((Vec<Wrapping<T>>)a - (Vec<Wrapping<T>>)b);
  }
};

struct Multiply : Numeric<Multiply, 2> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    return (Vec<T>)((Vec<Wrapping<T>>)a * (Vec<Wrapping<T>>)b);
  }
};

struct Divide : Floating<Divide, 2, 400> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    return a / b;
  }
};

struct Maximum : Numeric<Maximum, 2> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    return is_nan<T>(a) ? a : larger<T>(a, b);
  }
};

struct Minimum : Numeric<Minimum, 2> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    return is_nan<T>(a) ? a : smaller<T>(a, b);
  }
};

struct Negative : Numeric<Negative, 1> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> x) {
    return (Vec<T>)(-(Vec<Wrapping<T>>)x);
  }
};

struct Abs : Numeric<Abs, 1> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> x) {
    if constexpr (is_integer<T>) return x < 0 ? Negative::of<T>(x) : x;
    else return absolute<T>(x);
  }
};

struct Sign : Numeric<Sign, 1> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> x) {
    Vec<T> size = x == 0 ? splat(T{0}) : splat(T{1});
    return is_nan<T>(x) ? x : x < 0 ? -size : size;
  }
};

struct Sqrt : Floating<Sqrt, 1, 400> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> x) {
    return square_root<T>(x);
  }
};

// ---- on two types: plain loops, which the compiler makes into vectors ---------------------------------------------

// Calls visit(T{}) with the C++ type of a dtype; bool is a byte that holds 0 or 1.
template <class Visit>
FASTNN_INLINE Chunk with_type(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::float32: return visit(float{});
    case DType::float64: return visit(double{});
    case DType::int64: return visit(int64_t{});
    case DType::int32: return visit(int32_t{});
    case DType::uint8:
    case DType::boolean: return visit(uint8_t{});
    case DType::float16: break;
  }
  return nullptr;
}

template <class Operation, class T>
void compare_chunk(std::byte* out, const std::byte* const* in, int64_t n) {
  uint8_t* to = reinterpret_cast<uint8_t*>(out);
  const T* a = reinterpret_cast<const T*>(in[0]);
  const T* b = reinterpret_cast<const T*>(in[1]);
  FASTNN_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) to[i] = Operation::of(a[i], b[i]);
}

template <class Operation>
struct Comparison {
  static constexpr int inputs = 2, picoseconds = 200;
  static Chunk choose(const Elementwise& e) {
    return with_type(e.in[0].dtype, []<class T>(T) -> Chunk { return compare_chunk<Operation, T>; });
  }
};

struct Equal : Comparison<Equal> {
  static FASTNN_INLINE bool of(auto a, auto b) { return a == b; }
};
struct NotEqual : Comparison<NotEqual> {
  static FASTNN_INLINE bool of(auto a, auto b) { return a != b; }
};
struct Less : Comparison<Less> {
  static FASTNN_INLINE bool of(auto a, auto b) { return a < b; }
};
struct LessEqual : Comparison<LessEqual> {
  static FASTNN_INLINE bool of(auto a, auto b) { return a <= b; }
};
struct Greater : Comparison<Greater> {
  static FASTNN_INLINE bool of(auto a, auto b) { return a > b; }
};
struct GreaterEqual : Comparison<GreaterEqual> {
  static FASTNN_INLINE bool of(auto a, auto b) { return a >= b; }
};

// Values of any type are moved as bits of their size.
template <class T>
void where_chunk(std::byte* out, const std::byte* const* in, int64_t n) {
  T* to = reinterpret_cast<T*>(out);
  const uint8_t* condition = reinterpret_cast<const uint8_t*>(in[0]);
  const T* a = reinterpret_cast<const T*>(in[1]);
  const T* b = reinterpret_cast<const T*>(in[2]);
  FASTNN_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    T x = a[i], y = b[i];
    to[i] = condition[i] ? x : y;
  }
}

struct Where {
  static constexpr int inputs = 3, picoseconds = 200;
  static Chunk choose(const Elementwise& e) {
    switch (item_size(e.out.dtype)) {
      case 1: return where_chunk<uint8_t>;
      case 4: return where_chunk<uint32_t>;
      default: return where_chunk<uint64_t>;
    }
  }
};

template <int size>
void copy_chunk(std::byte* out, const std::byte* const* in, int64_t n) {
  __builtin_memmove(out, in[0], static_cast<size_t>(n * size));
}

template <class From, class To, bool to_bool>
void cast_chunk(std::byte* out, const std::byte* const* in, int64_t n) {
  To* to = reinterpret_cast<To*>(out);
  const From* from = reinterpret_cast<const From*>(in[0]);
  FASTNN_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (to_bool) to[i] = from[i] != 0;
    else to[i] = static_cast<To>(from[i]);
  }
}

struct Cast {
  static constexpr int inputs = 1, picoseconds = 200;
  static Chunk choose(const Elementwise& e) {
    DType from = e.in[0].dtype, to = e.out.dtype;
    if (from == to) {
      switch (item_size(to)) {
        case 1: return copy_chunk<1>;
        case 2: return copy_chunk<2>;
        case 4: return copy_chunk<4>;
        default: return copy_chunk<8>;
      }
    }
    return with_type(from, [to]<class From>(From) {
      if (to == DType::boolean) return Chunk{cast_chunk<From, uint8_t, true>};
      return with_type(to, []<class To>(To) -> Chunk { return cast_chunk<From, To, false>; });
    });
  }
};

}  // namespace
}  // namespace fastnn

namespace fastnn::FASTNN_ISA {

void register_arithmetic(KernelTable& table) {
  table.add = elementwise<Add>();
  table.subtract = elementwise<Subtract>();
  table.multiply = elementwise<Multiply>();
  table.divide = elementwise<Divide>();
  table.maximum = elementwise<Maximum>();
  table.minimum = elementwise<Minimum>();
  table.negative = elementwise<Negative>();
  table.abs = elementwise<Abs>();
  table.sign = elementwise<Sign>();
  table.sqrt = elementwise<Sqrt>();
  table.equal = elementwise<Equal>();
  table.not_equal = elementwise<NotEqual>();
  table.less = elementwise<Less>();
  table.less_equal = elementwise<LessEqual>();
  table.greater = elementwise<Greater>();
  table.greater_equal = elementwise<GreaterEqual>();
  table.where = elementwise<Where>();
  table.cast = elementwise<Cast>();
}

}  // namespace fastnn::FASTNN_ISA
