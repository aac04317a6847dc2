// Activations and the gradients through them, element by element: the expressions of cpu/activation.h, compiled for one
// lane. product.cu applies the same functions to its finished elements.
//
// Fast because it is one pass over memory (elementwise.h), and which activation it is, the compiler knows.
#include "cuda/elementwise.h"
#include "cuda/expressions.h"

namespace fastnn::cuda {
namespace {

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

}  // namespace

void register_activation(Table<DeviceKernel>& table) {
  table.relu = floating<Forward<Activation::relu>>();
  table.sigmoid = floating<Forward<Activation::sigmoid>>();
  table.tanh = floating<Forward<Activation::tanh>>();
  table.gelu = floating<Forward<Activation::gelu>>();
  table.relu_backward = floating<Backward<Activation::relu>>();
  table.sigmoid_backward = floating<Backward<Activation::sigmoid>>();
  table.tanh_backward = floating<Backward<Activation::tanh>>();
  table.gelu_backward = floating<Backward<Activation::gelu>>();
}

}  // namespace fastnn::cuda
