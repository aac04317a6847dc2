// The inverse of the standard normal distribution function, a vector at a time: probabilities to quantiles.
//
// Algorithm AS 241, PPND16 (Wichura, "The percentage points of the normal distribution", 1988): relative error 1e-16.
// csrc/cuda compiles this header too, with vectors of one lane (cuda/lane.h).
#pragma once

#include "cpu/math.h"

namespace fastnn {
namespace {

// Highest power first.
struct Rational {
  double numerator[8], denominator[8];
};

constexpr Rational central = {
    {2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0},
    {5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0}};
constexpr Rational tail = {
    {7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0},
    {1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0}};
constexpr Rational far_tail = {
    {2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0},
    {2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0}};

// Without fma, as the algorithm was published and as Python's statistics module has it.
template <const auto& coefficients, int i = 7>
FASTNN_INLINE Vec<double> horner_rounded_twice(Vec<double> x) {
  constexpr double coefficient = coefficients[i];
  if constexpr (i == 0) return splat(coefficient);
  else return horner_rounded_twice<coefficients, i - 1>(x) * x + coefficient;
}

template <const Rational& f>
FASTNN_INLINE Vec<double> quotient(Vec<double> x, Vec<double> factor) {
  return horner_rounded_twice<f.numerator>(x) * factor / horner_rounded_twice<f.denominator>(x);
}

// Of a probability, what the quantile is a function of in the tails: the root of -log of the smaller side.
FASTNN_INLINE Vec<double> tail_root(Vec<double> p) {
  // 1 - p would be 0 where p has been rounded to 1.
  Vec<double> smaller_side = larger<double>(p <= 0.5 ? p : 1.0 - p, splat(0x1p-54));
  return square_root<double>(-vlog<double>(smaller_side));
}

// Without the far tail for p that are at least 2^-33 away from 0 and 1.
template <bool has_far_tail>
FASTNN_INLINE Vec<double> normal_quantile(Vec<double> p, Vec<double> root) {
  Vec<double> q = p - 0.5;
  Vec<double> near = quotient<central>(0.180625 - q * q, q);
  Vec<double> away = quotient<tail>(root - 1.6, splat(1.0));
  if constexpr (has_far_tail) away = root <= 5.0 ? away : quotient<far_tail>(root - 5.0, splat(1.0));
  away = q < 0.0 ? -away : away;
  return ((q >= -0.425) & (q <= 0.425)) ? near : away;
}

}  // namespace
}  // namespace fastnn
