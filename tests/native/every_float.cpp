// Evaluates functions of csrc/cpu/math.h at every float32, 2^32 of them, and prints the largest error in units in the
// last place (ULP) of the exact result, next to the bound that must hold. One program per instruction set:
//
//   build/release/tests/native/every_float_avx2                     exp and log, about a minute
//   build/release/tests/native/every_float_avx2 tanh sigmoid erf    those named
//
// The reference is the C library in double precision, whose own error is below 1e-8 ULP of a float.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "cpu/math.h"

namespace {

using namespace fastnn;

struct Function {
  const char* name;
  double bound;
  Vec<float> (*vector)(Vec<float>);
  double (*exact)(double);
};

double exact_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

const Function functions[] = {
    {"exp", 2, [](Vec<float> x) { return vexp<float>(x); }, std::exp},
    {"log", 2, [](Vec<float> x) { return vlog<float>(x); }, std::log},
    {"tanh", 3, [](Vec<float> x) { return vtanh<float>(x); }, std::tanh},
    {"sigmoid", 3, [](Vec<float> x) { return vsigmoid<float>(x); }, exact_sigmoid},
    {"erf", 2, [](Vec<float> x) { return verf<float>(x); }, std::erf},
};

// Infinity where the exact result rounds to it or to its neighbour counts as the power of two that it stands for.
double error_in_ulp(float got, double exact) {
  if (std::isnan(exact)) return std::isnan(got) ? 0 : HUGE_VAL;
  if (std::isinf(exact)) return got == exact ? 0 : HUGE_VAL;
  if (std::isnan(got)) return HUGE_VAL;
  if (exact == 0) return got == 0 ? 0 : HUGE_VAL;
  if (std::fabs(exact) >= 0x1p128)
    return std::fabs(got) == HUGE_VALF && std::signbit(got) == std::signbit(exact) ? 0 : HUGE_VAL;
  double value = std::isinf(got) ? std::copysign(0x1p128, got) : got;
  int exponent = std::ilogb(exact);
  return std::fabs(value - exact) * std::ldexp(1.0, 23 - (exponent < -126 ? -126 : exponent));
}

bool within_bound(const Function& f) {
  constexpr int n = lanes<float>;
  double worst = -1;
  float worst_at = 0;
  for (uint64_t first = 0; first < uint64_t{1} << 32; first += n) {
    float x[n], y[n];
    for (int i = 0; i < n; ++i) {
      uint32_t bits = static_cast<uint32_t>(first) + i;
      std::memcpy(&x[i], &bits, sizeof(bits));
    }
    store<float>(y, f.vector(load(x)));
    for (int i = 0; i < n; ++i) {
      double error = error_in_ulp(y[i], f.exact(x[i]));
      if (error > worst) worst = error, worst_at = x[i];
    }
  }
  std::printf("%-8s %.4f ULP at %a (bound %g)\n", f.name, worst, worst_at, f.bound);
  std::fflush(stdout);
  return worst <= f.bound;
}

}  // namespace

int every_float(int count, char** names) {
  bool good = true;
  for (const Function& f : functions) {
    bool wanted = count == 1 && (&f == functions || &f == functions + 1);
    for (int i = 1; i < count; ++i) wanted |= std::strcmp(names[i], f.name) == 0;
    if (wanted) good &= within_bound(f);
  }
  return good ? 0 : 1;
}
