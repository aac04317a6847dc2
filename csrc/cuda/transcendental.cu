// exp, log and power, element by element: the polynomials of cpu/math.h, compiled for one lane.
//
// Fast because it is one pass over memory (elementwise.h), without a table or a branch that threads would disagree on.
#include "cuda/elementwise.h"
#include "cuda/expressions.h"

namespace fastnn::cuda {
namespace {

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

}  // namespace

void register_transcendental(Table<DeviceKernel>& table) {
  table.exp = floating<Exp>();
  table.log = floating<Log>();
  table.power = floating<Power>();
}

}  // namespace fastnn::cuda
