#include <cmath>

#include "eager/eager.h"

namespace fastnn::eager {
namespace {

// What has more bits than its place in the counter would give the numbers of another.
void require_counters(const Call& call, const Counter& counter) {
  if (counter.purpose > 255) raise<ValueError>(call.op, "purpose = ", counter.purpose, " must be at most 255");
  if (!(counter.step.value >= 0 && counter.step.value < 0x1p44) || std::floor(counter.step.value) != counter.step.value)
    raise<ValueError>(call.op, "step = ", counter.step.value, " must be a whole number from 0 to 2**44 - 1");
}

void run(const Call& call, const Kernel<Random>& kernel, const View& out, double a, double b, const Counter& counter,
         const void* x) {
  Random arguments{
      out.dtype, count_of(out), counter.seed, counter.purpose, place_of(call, counter.step), counter.ordinal, a, b,
      x,         out.data};
  execute(call, kernel, arguments);
}

void require_floating(const Call& call, DType dtype) {
  if (!is_floating(dtype)) raise<TypeError>(call.op, "dtype = ", name_of(dtype), " must be float32 or float64");
}

View place(const Call& call, DType dtype, int rank, const int64_t* shape, Output& output) {
  View out = output.place(call, dtype, rank, shape);
  require_contiguous(call, {out, "out"});
  return out;
}

}  // namespace

void uniform(const Call& call, DType dtype, int rank, const int64_t* shape, double low, double high,
             const Counter& counter, Output& output) {
  require_floating(call, dtype);
  require_counters(call, counter);
  require_finite(call, "low", low, dtype);
  require_finite(call, "high", high, dtype);
  require_finite(call, "high - low", high - low, dtype);
  if (low > high) raise<ValueError>(call.op, "low = ", low, " must be at most high = ", high);
  View out = place(call, dtype, rank, shape, output);
  run(call, kernels().uniform, out, low, high, counter, nullptr);
}

void normal(const Call& call, DType dtype, int rank, const int64_t* shape, double mean, double std,
            const Counter& counter, Output& output) {
  require_floating(call, dtype);
  require_counters(call, counter);
  require_finite(call, "mean", mean, dtype);
  require_finite(call, "std", std, dtype);
  if (std < 0) raise<ValueError>(call.op, "std = ", std, " must be at least 0");
  View out = place(call, dtype, rank, shape, output);
  run(call, kernels().normal, out, mean, std, counter, nullptr);
}

void dropout(const Call& call, Argument x, double p, const Counter& counter, Output& output) {
  require_dtype(call, x, {DType::float32, DType::float64});
  require_counters(call, counter);
  if (!(p >= 0 && p <= 1)) raise<ValueError>(call.op, "p = ", p, " must be between 0 and 1");
  View out = place(call, x.view.dtype, x.view.rank, x.view.shape, output);
  require_apart(call, out, {&x});
  Buffer memory;
  run(call, kernels().dropout, out, p, 0, counter, made_contiguous(call, x.view, memory).data);
}

void permutation(const Call& call, int64_t n, uint64_t seed, uint64_t epoch, Output& output) {
  if (n < 0) raise<ValueError>(call.op, "n = ", n, " must be at least 0");
  if (epoch >> 44 != 0) raise<ValueError>(call.op, "epoch = ", epoch, " must be at most 2**44 - 1");
  View out = place(call, DType::int64, 1, &n, output);
  Permutation arguments{n, seed, epoch, reinterpret_cast<int64_t*>(out.data)};
  execute(call, kernels().permutation, arguments);
}

}  // namespace fastnn::eager
