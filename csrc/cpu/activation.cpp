// Activations and the gradients through them, element by element; the expressions stand in activation.h.
//
// Why it is fast. elementwise.h hands over up to 1024 adjacent elements; a vector passes through its whole expression
// in registers, so that memory is read once and written once. Which activation it is, the compiler knows. What follows
// a product does not even take that pass: there, the same functions run on a strip that is still in L1 (tail.h).
#include "cpu/activation.h"

#include "cpu/elementwise.h"

namespace fastnn {
namespace {

template <Activation activation, int cost>
struct Forward : Floating<Forward<activation, cost>, 1, cost> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> x) {
    return activate<T>(activation, x);
  }
};

template <Activation activation, int cost>
struct Backward : Floating<Backward<activation, cost>, 2, cost> {
  template <class T>
  static FASTNN_INLINE Vec<T> of(Vec<T> grad, Vec<T> saved) {
    return activate_backward<T>(activation, grad, saved);
  }
};

}  // namespace
}  // namespace fastnn

namespace fastnn::FASTNN_ISA {

void register_activation(KernelTable& table) {
  table.relu = elementwise<Forward<Activation::relu, 200>>();
  table.sigmoid = elementwise<Forward<Activation::sigmoid, 500>>();
  table.tanh = elementwise<Forward<Activation::tanh, 500>>();
  table.gelu = elementwise<Forward<Activation::gelu, 1000>>();
  table.relu_backward = elementwise<Backward<Activation::relu, 200>>();
  table.sigmoid_backward = elementwise<Backward<Activation::sigmoid, 200>>();
  table.tanh_backward = elementwise<Backward<Activation::tanh, 200>>();
  table.gelu_backward = elementwise<Backward<Activation::gelu, 1500>>();
}

}  // namespace fastnn::FASTNN_ISA
