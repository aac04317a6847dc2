// Activations and the gradients through them, element by element: the expressions of cpu/activation.h, compiled for one
// lane. product.cu applies the same functions to its finished elements.
//
// Fast because it is one pass over memory (elementwise.h), and which activation it is, the compiler knows.
#include "cuda/elementwise.h"

namespace fastnn::cuda {

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
