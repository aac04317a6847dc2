#include <cstring>

#include "eager/eager.h"

namespace fastnn::eager {
namespace {

Reduction reduction_of(const Call& call, const char* name) {
  constexpr const char* names[] = {"none", "mean", "sum"};
  for (int i = 0; i < 3; ++i)
    if (std::strcmp(name, names[i]) == 0) return static_cast<Reduction>(i);
  raise<ValueError>(call.op, "reduction = '", name, "' must be 'mean', 'sum' or 'none'");
}

void require_batch(const Call& call, const char* name, int64_t count, Reduction reduction) {
  if (count == 0 && reduction == Reduction::mean)
    raise<ValueError>(call.op, name, " is an empty batch: the mean of nothing is undefined");
}

void require_labels(const Call& call, const Integers& labels, int64_t rows) {
  if (labels.count != rows)
    raise<ValueError>(call.op, labels.name, " has ", labels.count, " labels but logits has ", rows, " rows");
}

// Places for results must be contiguous, and apart from the operands and each other.
void require_places(const Call& call, const View& loss, const View* grad,
                    std::initializer_list<const Argument*> operands) {
  require_contiguous(call, {loss, "out"});
  require_apart(call, loss, operands);
  if (!grad) return;
  Argument first{loss, "the loss"};
  require_contiguous(call, {*grad, "out"});
  require_apart(call, *grad, operands);
  require_apart(call, *grad, {&first});
}

}  // namespace

void cross_entropy(const Call& call, Argument logits, const Integers* labels, const Argument* probabilities,
                   const Argument* weight, const CrossEntropyOptions& options, Output& loss_output,
                   Output* grad_output) {
  require_rank(call, logits, 2);
  require_dtype(call, logits, {DType::float32, DType::float64});
  DType dtype = logits.view.dtype;
  int64_t rows = logits.view.shape[0], classes = logits.view.shape[1];
  if (classes == 0) raise<ValueError>(call.op, "logits has shape ", ShapeOf(logits.view), ": zero classes");
  Reduction reduction = reduction_of(call, options.reduction);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1))
    raise<ValueError>(call.op, "label_smoothing = ", options.label_smoothing, " must be between 0 and 1");
  require_batch(call, "logits", rows, reduction);
  if (weight) {
    require_same_dtype(call, logits, *weight);
    require_shape(call, *weight, {classes}, ", one per class");
  }
  Buffer label_memory, logits_memory, probability_memory, weight_memory;
  CrossEntropy arguments{};
  if (labels) {
    require_labels(call, *labels, rows);
    arguments.labels = read_labels(call, *labels, classes, &options.ignore_index, label_memory);
  } else {
    require_same_dtype(call, logits, *probabilities);
    require_same_shape(call, logits, *probabilities);
    arguments.probabilities = made_contiguous(call, probabilities->view, probability_memory).data;
  }
  View loss = loss_output.place(call, dtype, reduction == Reduction::none ? 1 : 0, &rows);
  View grad{};
  if (grad_output) grad = grad_output->place(call, dtype, 2, logits.view.shape);
  require_places(call, loss, grad_output ? &grad : nullptr, {&logits, probabilities, weight});
  arguments.dtype = dtype;
  arguments.rows = rows, arguments.classes = classes;
  arguments.logits = made_contiguous(call, logits.view, logits_memory).data;
  if (weight) arguments.weight = made_contiguous(call, weight->view, weight_memory).data;
  arguments.ignore_index = options.ignore_index;
  arguments.label_smoothing = options.label_smoothing;
  arguments.reduction = reduction;
  arguments.loss = loss.data;
  arguments.grad = grad_output ? grad.data : nullptr;
  execute(call, grad_output ? kernels().cross_entropy_with_grad : kernels().cross_entropy, arguments);
}

void mse_loss(const Call& call, Argument prediction, Argument target, bool half, const char* reduction_name,
              Output& loss_output, Output* grad_output) {
  require_dtype(call, prediction, {DType::float32, DType::float64});
  require_same_dtype(call, prediction, target);
  require_same_shape(call, prediction, target);
  Reduction reduction = reduction_of(call, reduction_name);
  const View& view = prediction.view;
  int64_t count = count_of(view);
  require_batch(call, "prediction", count, reduction);
  bool none = reduction == Reduction::none;
  View loss = loss_output.place(call, view.dtype, none ? view.rank : 0, view.shape);
  View grad{};
  if (grad_output) grad = grad_output->place(call, view.dtype, view.rank, view.shape);
  require_places(call, loss, grad_output ? &grad : nullptr, {&prediction, &target});
  Buffer prediction_memory, target_memory;
  SquaredError arguments{view.dtype,
                         count,
                         made_contiguous(call, view, prediction_memory).data,
                         made_contiguous(call, target.view, target_memory).data,
                         half,
                         reduction,
                         loss.data,
                         grad_output ? grad.data : nullptr};
  execute(call, grad_output ? kernels().mse_loss_with_grad : kernels().mse_loss, arguments);
}

void accuracy(const Call& call, Argument logits, const Integers& target, Output& output) {
  require_rank(call, logits, 2);
  require_dtype(call, logits, {DType::float32, DType::float64});
  int64_t rows = logits.view.shape[0], classes = logits.view.shape[1];
  if (classes == 0) raise<ValueError>(call.op, "logits has shape ", ShapeOf(logits.view), ": zero classes");
  require_batch(call, "logits", rows, Reduction::mean);
  require_labels(call, target, rows);
  Buffer label_memory, memory;
  const int64_t* labels = read_labels(call, target, classes, nullptr, label_memory);
  View out = output.place(call, logits.view.dtype, 0, nullptr);
  require_apart(call, out, {&logits});
  Accuracy arguments{logits.view.dtype, rows, classes, made_contiguous(call, logits.view, memory).data, labels,
                     out.data};
  execute(call, kernels().accuracy, arguments);
}

}  // namespace fastnn::eager
