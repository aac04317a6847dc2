// exp, log and power, element by element: the polynomials of math.h, where accuracy and special cases are stated.
//
// Why it is fast. One pass over memory by elementwise.h, a vector at a time, without a call or a branch; see math.h.
#include "cpu/elementwise.h"
#include "cpu/math.h"

namespace fastnn {
namespace {

struct Exp : Floating<Exp, 1, 300> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> x) {
    return vexp<T>(x);
  }
};

struct Log : Floating<Log, 1, 500> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> x) {
    return vlog<T>(x);
  }
};

struct Power : Floating<Power, 2, 4000> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    return vpow<T>(a, b);
  }
};

}  // namespace
}  // namespace fastnn

namespace fastnn::FASTNN_ISA {

void register_transcendental(KernelTable& table) {
  table.exp = elementwise<Exp>();
  table.log = elementwise<Log>();
  table.power = elementwise<Power>();
}

}  // namespace fastnn::FASTNN_ISA
