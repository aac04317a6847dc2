// THE CONTRACT: every kernel of fastnn, named once.
//
// csrc/cpu and csrc/cuda hold all of them, the package fastnn/reference specifies each under the same name in NumPy,
// and a test proves that they agree.
//
// A kernel is told its arguments and answers with its Work: phases, the independent items of each phase,
// the workspace they share and the scratch each worker needs. It then runs ranges of items, serially; who
// hands the items to threads (an eager call, or an engine replaying a plan) is none of its business. A phase
// starts when every item of the one before has finished. Which worker runs an item, and how the range is cut,
// never changes a bit of the result.
//
// Shapes, dtypes and labels have been checked by the caller; kernels only assume.
// Pointers to double are scalars that vary from step to step (learning rate, corrections, step number).
#pragma once

#include <cstddef>
#include <cstdint>

#include "array/view.h"

namespace fastnn {

inline constexpr int max_phases = 3;

struct Work {
  int phases;
  int64_t items[max_phases];
  double cost[max_phases];  // of one item, in nanoseconds on one core, roughly: decides about threads, never about bits
  int64_t workspace;        // bytes shared by all items of all phases, aligned to 64
  int64_t scratch;          // bytes for each worker, aligned to 64
};

template <class Arguments>
struct Kernel {
  Work (*work)(const Arguments&);
  void (*run)(const Arguments&, int phase, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch);
  // Where given, comes first, once: the kernel notes in its arguments how it will go about them.
  void (*choose)(Arguments&) = nullptr;
};

enum class Activation : uint8_t { none, relu, sigmoid, tanh, gelu };
enum class Reduction : uint8_t { none, mean, sum };
// Of the factors of a product of float32 on a device: as they are, or rounded to 10 or 7 bits behind the first.
enum class Precision : uint8_t { float32, tf32, bf16 };

struct Sgd {
  DType dtype;
  int64_t count;
  void* param;
  const void* grad;
  void* velocity;  // null where momentum is 0
  const double* lr;
  double momentum, dampening, weight_decay;
  bool nesterov;
};

// How a product goes about its shape; chosen once, by the kernel itself. `a` and `b` are those of the tile, whose lanes
// run along b.
struct ProductChoice {
  bool along_k;             // lanes along k: cpu/narrow.h; of the rest, direct_a, direct_b and row_blocks count
  bool swapped;             // lanes along m: the tile computes the transpose of c
  bool direct_a, direct_b;  // full panels are read where they stand
  bool ahead_a, ahead_b;    // the others are packed by a phase of their own; else by the one item that reads them
  bool updates;             // a parameter, by plain SGD, from one chunk
  bool gathers, has_loss;   // does on the way what `gather` and `loss` ask for
  int64_t row_panels, column_panels;
  int64_t row_blocks, column_blocks;  // items of the product's phase
};

struct Gather;
struct CrossEntropy;

// c = beta c + alpha a b, then + bias, then activation, then the gradient of `backward`. a is (m, k), b is (k, n), any
// strides, so that a transpose is a swap of strides; rows of c are contiguous. With update.param, (m, n) and
// contiguous, the result is the gradient of an update and is not kept: c and update.grad are null. For a precision
// other than float32, rows or columns of a are contiguous and do not overlap, and so are those of b.
struct Product {
  DType dtype;
  int64_t m, n, k;
  const void* a;
  int64_t a_row, a_column;
  const void* b;
  int64_t b_row, b_column;
  void* c;
  int64_t c_row;
  double alpha, beta;
  const void* bias;  // (n,) or null
  Activation activation;
  Activation backward;
  Precision precision;
  const void* y;  // (m, n), rows contiguous: what `backward` needs of the forward pass
  int64_t y_row;
  Sgd update;
  // What an engine asks to be done on the way, and `choice` says whether it is: `a` is what this gathers, and c are the
  // logits of this loss.
  const Gather* gather;
  const CrossEntropy* loss;
  ProductChoice choice;
};

// Into chunks of so many K is cut, whose sums are added in order. This fixes the bits.
inline constexpr int64_t product_chunk = 256, narrow_chunk = 4096;

// Whether linear adds along its inputs in sixteen lanes, an expression of its own: cpu/narrow.h.
constexpr bool is_narrow(int64_t outputs, int64_t inputs) { return outputs <= 12 && inputs >= 128; }

// out[i] = f(in0[i], in1[i], in2[i]). All views have out's shape (broadcast axes have stride 0), axes that can be
// merged are merged; rank is at least 1.
struct Elementwise {
  View out;
  View in[3];
};

// x is (outer, extent, inner), contiguous; out is (outer, inner), contiguous. x_dtype float32, float64, int64 or
// boolean (sums only, which come out as int64); argmax and argmin write int64.
struct Reduce {
  DType x_dtype;
  int64_t outer, extent, inner;
  const void* x;
  void* out;
};

// Row by row over contiguous (rows, columns). grad is null in the forward direction.
struct Rows {
  DType dtype;
  int64_t rows, columns;
  const void* x;     // forward: logits; backward: the forward's result
  const void* grad;  // backward: gradient of the result
  void* out;
};

struct CrossEntropy {
  DType dtype;
  int64_t rows, classes;
  const void* logits;         // (rows, classes), contiguous
  const int64_t* labels;      // (rows,), checked, or null
  const void* probabilities;  // (rows, classes), where labels is null
  const void* weight;         // (classes,) or null
  int64_t ignore_index;
  double label_smoothing;
  Reduction reduction;
  void* loss;  // (rows,) for Reduction::none, else one element
  void* grad;  // (rows, classes), or null: loss only
};

struct SquaredError {
  DType dtype;
  int64_t count;
  const void* prediction;
  const void* target;
  bool half;
  Reduction reduction;
  void* loss;  // (count,) for Reduction::none, else one element
  void* grad;  // (count,), or null: loss only
};

struct Adam {
  DType dtype;
  int64_t count;
  void* param;
  const void* grad;
  void* exp_avg;
  void* exp_avg_sq;
  const double* lr;
  const double* correction1;  // 1 - beta1^t
  const double* correction2;  // 1 - beta2^t
  double beta1, beta2, eps, weight_decay;
  bool decoupled;  // AdamW
};

// Rows of data, picked by indices (count,). A row is contiguous; `stride` elements lie between one row and the next.
struct Gather {
  DType data_dtype, out_dtype;
  int64_t width, count;
  const void* data;
  int64_t rows, stride;
  const int64_t* indices;
  double divisor;
  void* out;  // (count, width)
};

// One element per index pair: x[rows[i], columns[i]].
struct Pick {
  DType dtype;
  int64_t rows, columns, count;
  const int64_t* row_indices;
  const int64_t* column_indices;
  const void* x;        // pick: (rows, columns); pick_backward: (count,)
  void* out;            // pick: (count,);        pick_backward: (rows, columns), contiguous
  int64_t row, column;  // strides of the matrix
};

struct ScatterAdd {
  DType dtype;
  int64_t rows, width, count;
  const void* grad;  // (count, width)
  const int64_t* indices;
  void* out;  // (rows, width)
};

struct OneHot {
  DType dtype;
  int64_t count, classes;
  const int64_t* labels;
  void* out;  // (count, classes)
};

struct Accuracy {
  DType dtype;
  int64_t rows, classes;
  const void* logits;
  const int64_t* labels;
  void* out;  // one element
};

// Numbers at (seed, purpose, step, ordinal, position): see array/philox.h.
struct Random {
  DType dtype;
  int64_t count;
  uint64_t seed;
  uint32_t purpose;
  const double* step;
  uint32_t ordinal;
  double a, b;    // uniform: low, high; normal: mean, standard deviation; dropout: a is the probability of a zero
  const void* x;  // dropout: (count,)
  void* out;      // (count,)
};

struct Permutation {
  int64_t count;
  uint64_t seed;
  uint64_t epoch;
  int64_t* out;
};

// One of `Entry` for each kernel: a Kernel of a compilation for the CPU, or a DeviceKernel (device.h).
template <template <class> class Entry>
struct Table {
  // cpu/product.cpp
  Entry<Product> matmul, linear, matmul_sgd_update;

  // cpu/arithmetic.cpp
  Entry<Elementwise> add, subtract, multiply, divide, maximum, minimum, negative, abs, sign, sqrt;
  Entry<Elementwise> equal, not_equal, less, less_equal, greater, greater_equal, where;
  Entry<Elementwise> cast;

  // cpu/transcendental.cpp
  Entry<Elementwise> exp, log, power;

  // cpu/activation.cpp
  Entry<Elementwise> relu, sigmoid, tanh, gelu;
  Entry<Elementwise> relu_backward, sigmoid_backward, tanh_backward, gelu_backward;

  // cpu/reduction.cpp
  Entry<Reduce> sum, mean, max, min, argmax, argmin;

  // cpu/softmax.cpp
  Entry<Rows> softmax, softmax_backward, log_softmax, log_softmax_backward;

  // cpu/loss.cpp
  Entry<CrossEntropy> cross_entropy, cross_entropy_with_grad;
  Entry<SquaredError> mse_loss, mse_loss_with_grad;
  Entry<Accuracy> accuracy;

  // cpu/update.cpp
  Entry<Sgd> sgd_update;
  Entry<Adam> adam_update;

  // cpu/indexing.cpp
  Entry<Gather> gather;
  Entry<ScatterAdd> scatter_add;
  Entry<Pick> pick, pick_backward;
  Entry<OneHot> one_hot;

  // cpu/random.cpp
  Entry<Random> uniform, normal, dropout;
  Entry<Permutation> permutation;
};

struct KernelTable : Table<Kernel> {
  const char* isa;  // "baseline", "avx2", "avx512", "neon"
  int vector_bytes;
  bool fused_multiply_add;  // without it, bits differ from the other tables
};

}  // namespace fastnn
