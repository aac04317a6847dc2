// Native entry points: one call, one kernel. Each checks shapes and dtypes (once, here), fills the kernel's arguments
// and runs it on the team, or adds it to the program that the Call names. Python's bindings are a translation of this
// header; so could another language's be.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eager/check.h"

namespace fastnn::eager {

// What an update by stochastic gradient descent is told.
struct SgdOptions {
  Number lr;
  double momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
};

// ---- products: eager/product.cpp ----
struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;
  double alpha = 1, beta = 0;
  const char* backward = nullptr;   // an activation
  const char* precision = nullptr;  // of the factors, float32 on a device: "float32", "tf32" or "bf16"
};
// y, what the gradient of the activation needs, is null where there is none.
void matmul(const Call&, Argument a, Argument b, const Argument* y, const MatmulOptions&, Output& out);
void linear(const Call&, Argument x, Argument weight, const Argument* bias, const char* activation, Output& out,
            const char* precision = nullptr);
// How the product of two matrices goes about their shape, in words: what the kernel chooses, once. Nothing is computed.
// How matmul goes about it, or linear, whose weight is then b, transposed.
std::string explain_product(const Call&, Argument a, Argument b, bool transpose_a, bool transpose_b, bool linear);
// a b is the gradient of param, and is not kept.
void matmul_sgd_update(const Call&, Argument param, Argument a, Argument b, const Argument* velocity, bool transpose_a,
                       bool transpose_b, const SgdOptions&, const char* precision = nullptr);

// ---- elementwise: eager/elementwise.cpp ----
enum class Types { arithmetic, floating, comparison, selection };
// Operands are broadcast against each other. `where` is the one kernel of three.
void elementwise(const Call&, const Kernel<Elementwise>&, Types, std::initializer_list<Argument> operands, Output& out);
void cast(const Call&, Argument x, DType dtype, int rank, const int64_t* shape, Output& out);

// ---- between devices: eager/transfer.cpp ----
// A copy of x, which may lie anywhere, on the device of the call.
void transfer(const Call&, Argument x, Output& out);

// ---- reductions and softmax: eager/reduction.cpp ----
// What is taken, what comes out: sums add (of bool and int64: int64), means are floating point, extremes keep the
// dtype, positions are int64. Only a sum may be over nothing.
enum class Reducing { sum, mean, extreme, position };
// axes: none means all.
void reduce(const Call&, const Kernel<Reduce>&, Reducing, Argument x, const std::optional<std::vector<int64_t>>& axes,
            bool keepdims, Output& out);
void softmax(const Call&, const Kernel<Rows>&, const Argument* grad, Argument x, int64_t axis, Output& out);

// ---- losses: eager/loss.cpp ----
struct CrossEntropyOptions {
  int64_t ignore_index = -100;
  double label_smoothing = 0;
  const char* reduction = "mean";
};
// Exactly one of labels and probabilities is given; grad is null where only the loss is wanted.
void cross_entropy(const Call&, Argument logits, const Integers* labels, const Argument* probabilities,
                   const Argument* weight, const CrossEntropyOptions&, Output& loss, Output* grad);
void mse_loss(const Call&, Argument prediction, Argument target, bool half, const char* reduction, Output& loss,
              Output* grad);
void accuracy(const Call&, Argument logits, const Integers& target, Output& out);

// ---- updates in place: eager/update.cpp ----
// Checked arguments; grad is null where it is made by another kernel, gradient and velocity's overlap included.
Sgd sgd_of(const Call&, const Argument& param, const Argument* grad, const Argument* velocity, const SgdOptions&);
void sgd_update(const Call&, Argument param, Argument grad, const Argument* velocity, const SgdOptions&);
struct AdamOptions {
  Number lr, correction1, correction2;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;
};
void adam_update(const Call&, Argument param, Argument grad, Argument exp_avg, Argument exp_avg_sq, const AdamOptions&);

// ---- indexing: eager/indexing.cpp ----
void gather(const Call&, Argument data, const Integers& indices, double divisor, std::optional<DType> dtype,
            Output& out);
void scatter_add(const Call&, Argument grad, const Integers& indices, int64_t num_rows, Output& out);
void pick(const Call&, Argument x, const Integers& rows, const Integers& columns, Output& out);
void pick_backward(const Call&, Argument grad, const Integers& rows, const Integers& columns, int64_t num_rows,
                   int64_t num_columns, Output& out);
void one_hot(const Call&, const Integers& labels, int64_t num_classes, DType dtype, Output& out);

// ---- random numbers: eager/random.cpp ----
struct Counter {
  uint64_t seed;
  uint32_t purpose;
  Number step;
  uint32_t ordinal;
};
void uniform(const Call&, DType dtype, int rank, const int64_t* shape, double low, double high, const Counter&,
             Output& out);
void normal(const Call&, DType dtype, int rank, const int64_t* shape, double mean, double std, const Counter&,
            Output& out);
void dropout(const Call&, Argument x, double p, const Counter&, Output& out);
void permutation(const Call&, int64_t n, uint64_t seed, uint64_t epoch, Output& out);

}  // namespace fastnn::eager
