// What elementwise kernels do with the elements of one type: the expressions of cpu/arithmetic.cpp,
// cpu/transcendental.cpp and cpu/activation.cpp, for one lane.
#pragma once

#include "cuda/expressions.h"

namespace fastnn::cuda {
namespace {

// ---- arithmetic -----------------------------------------------------------------------------------------------------

struct Add {
  static constexpr int inputs = 2;
  template <class T>
  static FASTNN_INLINE T of(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
};

struct Subtract {
  static constexpr int inputs = 2;
  template <class T>
  static FASTNN_INLINE T of(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
};

struct Multiply {
  static constexpr int inputs = 2;
  template <class T>
  static FASTNN_INLINE T of(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
  }
};

struct Divide {
  static constexpr int inputs = 2;
  template <class T>
  static FASTNN_INLINE T of(T a, T b) {
    return a / b;
  }
};

struct Maximum {
  static constexpr int inputs = 2;
  template <class T>
  static FASTNN_INLINE T of(T a, T b) {
    return is_nan(a) ? a : larger(a, b);
  }
};

struct Minimum {
  static constexpr int inputs = 2;
  template <class T>
  static FASTNN_INLINE T of(T a, T b) {
    return is_nan(a) ? a : smaller(a, b);
  }
};

struct Negative {
  static constexpr int inputs = 1;
  template <class T>
  static FASTNN_INLINE T of(T x) {
    return static_cast<T>(-static_cast<Wrapping<T>>(x));
  }
};

struct Abs {
  static constexpr int inputs = 1;
  template <class T>
  static FASTNN_INLINE T of(T x) {
    if constexpr (is_integer<T>) return x < 0 ? Negative::of<T>(x) : x;
    else return absolute(x);
  }
};

struct Sign {
  static constexpr int inputs = 1;
  template <class T>
  static FASTNN_INLINE T of(T x) {
    const T size = x == 0 ? T{0} : T{1};
    return is_nan(x) ? x : x < 0 ? -size : size;
  }
};

struct Sqrt {
  static constexpr int inputs = 1;
  template <class T>
  static FASTNN_INLINE T of(T x) {
    return square_root(x);
  }
};

// ---- functions ------------------------------------------------------------------------------------------------------

struct Exp {
  static constexpr int inputs = 1;
  template <class T>
  static FASTNN_INLINE T of(T x) {
    return vexp<T>(x);
  }
};

struct Log {
  static constexpr int inputs = 1;
  template <class T>
  static FASTNN_INLINE T of(T x) {
    return vlog<T>(x);
  }
};

struct Power {
  static constexpr int inputs = 2;
  template <class T>
  static FASTNN_INLINE T of(T a, T b) {
    return vpow<T>(a, b);
  }
};

// ---- activations ----------------------------------------------------------------------------------------------------

template <Activation activation>
struct Forward {
  static constexpr int inputs = 1;
  template <class T>
  static FASTNN_INLINE T of(T x) {
    return activate<T>(activation, x);
  }
};

template <Activation activation>
struct Backward {
  static constexpr int inputs = 2;
  template <class T>
  static FASTNN_INLINE T of(T grad, T saved) {
    return activate_backward<T>(activation, grad, saved);
  }
};

// ---- all of them, by number -----------------------------------------------------------------------------------------

template <class... Function>
struct Functions {
  template <class Wanted>
  static constexpr int number_of() {
    int number = 0;
    (void)((__is_same(Function, Wanted) || (++number, false)) || ...);
    return number;
  }
  // Calls use(function) with that of a number.
  template <class Use>
  static constexpr void with(int number, Use use) {
    int next = 0;
    ((number == next++ ? use(Function{}) : void()), ...);
  }
};
using AllFunctions = Functions<Add, Subtract, Multiply, Divide, Maximum, Minimum, Negative, Abs, Sign, Sqrt, Exp, Log,
                               Power, Forward<Activation::relu>, Forward<Activation::sigmoid>,
                               Forward<Activation::tanh>, Forward<Activation::gelu>, Backward<Activation::relu>,
                               Backward<Activation::sigmoid>, Backward<Activation::tanh>, Backward<Activation::gelu>>;

}  // namespace
}  // namespace fastnn::cuda
