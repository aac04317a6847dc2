// Every kernel of the contract, for tests that go through all of them. A test of its own compares the list with
// kernels.h.
#pragma once

#define FASTNN_EACH_KERNEL(use)                                                                                    \
  use(matmul) use(linear) use(matmul_sgd_update) use(add) use(subtract) use(multiply) use(divide) use(maximum)     \
      use(minimum) use(negative) use(abs) use(sign) use(sqrt) use(equal) use(not_equal) use(less) use(less_equal)  \
          use(greater) use(greater_equal) use(where) use(cast) use(exp) use(log) use(power) use(relu) use(sigmoid) \
              use(tanh) use(gelu) use(relu_backward) use(sigmoid_backward) use(tanh_backward) use(gelu_backward)   \
                  use(sum) use(mean) use(max) use(min) use(argmax) use(argmin) use(softmax) use(softmax_backward)  \
                      use(log_softmax) use(log_softmax_backward) use(cross_entropy) use(cross_entropy_with_grad)   \
                          use(mse_loss) use(mse_loss_with_grad) use(accuracy) use(sgd_update) use(adam_update)     \
                              use(gather) use(scatter_add) use(pick) use(pick_backward) use(one_hot) use(uniform)  \
                                  use(normal) use(dropout) use(permutation)
