#include <cmath>

#include "eager/eager.h"

namespace fastnn::eager {
namespace {

void require_operand(const Call& call, const Argument& param, const Argument& other) {
  require_same_dtype(call, param, other);
  require_same_shape(call, param, other);
  if (overlaps(param.view, other.view)) raise<ValueError>(call.op, param.name, " overlaps ", other.name, " in memory");
}

void require_range(const Call& call, const char* name, double value, double low, double high, const char* range) {
  if (!(value >= low && value < high)) raise<ValueError>(call.op, name, " = ", value, " must be ", range);
}

void require_not_negative(const Call& call, const char* name, double value, DType dtype) {
  require_finite(call, name, value, dtype);
  if (value < 0) raise<ValueError>(call.op, name, " = ", value, " must be at least 0");
}

}  // namespace

Sgd sgd_of(const Call& call, const Argument& param, const Argument* grad, const Argument* velocity,
           const SgdOptions& options) {
  require_dtype(call, param, {DType::float32, DType::float64});
  require_contiguous(call, param);
  DType dtype = param.view.dtype;
  require_finite(call, "lr", options.lr.value, dtype);
  require_not_negative(call, "momentum", options.momentum, dtype);
  require_finite(call, "dampening", options.dampening, dtype);
  require_not_negative(call, "weight_decay", options.weight_decay, dtype);
  if (options.momentum != 0 && !velocity)
    raise<ValueError>(call.op, "momentum = ", options.momentum, " needs velocity");
  if (grad) require_operand(call, param, *grad);
  if (velocity) {
    require_operand(call, param, *velocity);
    require_contiguous(call, *velocity);
    if (grad) require_operand(call, *velocity, *grad);
  }
  bool uses_velocity = velocity && options.momentum != 0;
  return {dtype,
          count_of(param.view),
          param.view.data,
          nullptr,
          uses_velocity ? velocity->view.data : nullptr,
          place_of(call, options.lr),
          options.momentum,
          options.dampening,
          options.weight_decay,
          options.nesterov};
}

void sgd_update(const Call& call, Argument param, Argument grad, const Argument* velocity, const SgdOptions& options) {
  Sgd arguments = sgd_of(call, param, &grad, velocity, options);
  Buffer memory;
  arguments.grad = made_contiguous(call, grad.view, memory).data;
  execute(call, kernels().sgd_update, arguments);
}

void adam_update(const Call& call, Argument param, Argument grad, Argument exp_avg, Argument exp_avg_sq,
                 const AdamOptions& options) {
  require_dtype(call, param, {DType::float32, DType::float64});
  const Argument* operands[] = {&param, &grad, &exp_avg, &exp_avg_sq};
  for (int i = 0; i < 4; ++i)
    for (int j = i + 1; j < 4; ++j) require_operand(call, *operands[i], *operands[j]);
  for (const Argument* written : {&param, &exp_avg, &exp_avg_sq}) require_contiguous(call, *written);
  DType dtype = param.view.dtype;
  double lr = options.lr.value, correction1 = options.correction1.value, correction2 = options.correction2.value;
  require_finite(call, "lr", lr, dtype);
  require_range(call, "beta1", options.beta1, 0, 1, "in [0, 1)");
  require_range(call, "beta2", options.beta2, 0, 1, "in [0, 1)");
  require_not_negative(call, "eps", options.eps, dtype);
  require_not_negative(call, "weight_decay", options.weight_decay, dtype);
  if (options.decoupled) require_finite(call, "1 - lr * weight_decay", 1 - lr * options.weight_decay, dtype);
  if (!(correction1 > 0 && correction1 <= 1))
    raise<ValueError>(call.op, "correction1 = ", correction1, " must be 1 - beta1**t, in (0, 1]");
  if (!(correction2 > 0 && correction2 <= 1))
    raise<ValueError>(call.op, "correction2 = ", correction2, " must be 1 - beta2**t, in (0, 1]");
  require_finite(call, "lr / correction1", lr / correction1, dtype);
  require_finite(call, "1 / sqrt(correction2)", 1 / std::sqrt(correction2), dtype);
  Buffer memory;
  Adam arguments{dtype,
                 count_of(param.view),
                 param.view.data,
                 made_contiguous(call, grad.view, memory).data,
                 exp_avg.view.data,
                 exp_avg_sq.view.data,
                 place_of(call, options.lr),
                 place_of(call, options.correction1),
                 place_of(call, options.correction2),
                 options.beta1,
                 options.beta2,
                 options.eps,
                 options.weight_decay,
                 options.decoupled};
  execute(call, kernels().adam_update, arguments);
}

}  // namespace fastnn::eager
