// exp, log, tanh, sigmoid, erf and power on vectors, for float and double: our own polynomials, so that a result
// depends on its argument and on nothing else. Only operations that round correctly in every lane are used
// (+ - * / fma, integers, selections), hence the same bits for every vector width that has fma.
//
// The polynomials are minimax fits by Remez' exchange at 60 digits, coefficients rounded one after the other from the
// lowest and the rest fitted again. Largest errors with fma, in units in the last place (ULP), of float at every
// float32 (tests/native/every_float.cpp), of double and of power at dense samples, against 140 bits:
//
//              exp    log    tanh   sigmoid  erf    power
//     float    0.90   0.83   2.61   2.41     1.08   0.50
//     double   0.80   0.74   2.48   1.81     1.01   0.94
//
// Why they are fast. No tables, whose look-ups would go lane by lane, and no branches: both sides of a case are
// computed and one is selected. Powers of two are made of the bits of an exponent. A polynomial is a chain of fma that
// each wait for the one before; but the vectors of a loop do not wait for each other, and the processor has several
// under way. Divisions are few: one in log, tanh and sigmoid, two in power.
//
// Without fma exp has up to 1.17, power of double 1.25, erf 1.33 and tanh 2.67.
// Infinities, zeros and subnormal numbers, as arguments and as results, are those of the C library. NaN stays NaN; its
// sign and payload mean nothing.
//
// csrc/cuda compiles this header too, with vectors of one lane (cuda/lane.h): one source, one set of bits.
#pragma once

#ifndef FASTNN_ONE_LANE
#include "cpu/vec.h"
#endif

namespace fastnn {
namespace {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr int mantissa_bits = 23, bias = 127;
  static constexpr float min_normal = 0x1p-126f, two_mantissa = 0x1p23f;
  static constexpr float round_magic = 0x1.8p23f;  // x + magic has the nearest integer to x in its low bits
  static constexpr float log2_e = 0x1.715476p0f;
  // ln 2 in two parts; the first ends in enough zeros for n * ln2_hi to be exact.
  static constexpr float ln2_hi = 0x1.62e4p-1f, ln2_lo = 0x1.7f7d1cp-20f;
  // exp is inf above the largest, 0 below the smallest, and the power of two stays in reach of `scale`.
  static constexpr float exp_largest = 89.0f, exp_smallest = -104.0f;
  // (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2; relative error of exp 3.2e-9
  static constexpr float exp_tail[] = {0x1.fffffcp-2f, 0x1.55548ep-3f, 0x1.55586ap-5f, 0x1.123c8ap-7f, 0x1.6aaebcp-10f};
  static constexpr float sqrt_half = 0x1.6a09e6p-1f;
  // (2 atanh(s) / s - 2) / s^2 in s^2, |s| <= (sqrt(2) - 1) / (sqrt(2) + 1); relative error of log 3e-11
  static constexpr float log_tail[] = {0x1.555554p-1f, 0x1.999c2ap-2f, 0x1.23d26p-2f, 0x1.f17f56p-3f};
  static constexpr float tanh_largest = 10.0f;  // tanh rounds to 1 from 9.02 on
  // erf(x) / x - 1 in x^2, |x| <= 1; relative error 1.4e-9
  static constexpr float erf_near[] = {0x1.06eba8p-3f, -0x1.81273ep-2f,  0x1.ce2ce6p-4f, -0x1.b7f71ap-6f,
                                       0x1.53f224p-8f, -0x1.a3515ep-11f, 0x1.4771fep-14f};
  // log(1 - erf(x)) on [1, 4]; absolute error of erf 1.2e-9
  static constexpr float erf_far[] = {-0x1.72e8d4p-12f, -0x1.2085b2p0f,  -0x1.46c584p-1f, -0x1.a60a7ep-4f,
                                      0x1.6541f8p-6f,   -0x1.814c16p-9f, 0x1.852b06p-13f};
  static constexpr float erf_largest = 4.0f;  // erf rounds to 1 from 3.92 on
};

template <>
struct MathConstants<double> {
  static constexpr int mantissa_bits = 52, bias = 1023;
  static constexpr double min_normal = 0x1p-1022, two_mantissa = 0x1p52;
  static constexpr double round_magic = 0x1.8p52;
  static constexpr double log2_e = 0x1.71547652b82fep0;
  static constexpr double ln2_hi = 0x1.62e42fefa38p-1, ln2_lo = 0x1.ef35793c7673p-45;
  static constexpr double exp_largest = 710.0, exp_smallest = -746.0;
  // relative error 1.4e-19
  static constexpr double exp_tail[] = {0.5,
                                        0x1.555555555555dp-3,
                                        0x1.555555555556dp-5,
                                        0x1.111111110e4c7p-7,
                                        0x1.6c16c16c0929bp-10,
                                        0x1.a01a01b64e7d5p-13,
                                        0x1.a01a01f22cacep-16,
                                        0x1.71dde97d7293dp-19,
                                        0x1.27e42ce6cdc0dp-22,
                                        0x1.af76b6095f9ffp-26,
                                        0x1.208ba24a2e1c4p-29};
  static constexpr double sqrt_half = 0x1.6a09e667f3bcdp-1;
  // relative error 1.3e-18
  static constexpr double log_tail[] = {0x1.555555555558fp-1, 0x1.9999999980ad5p-2, 0x1.249249415e6bdp-2,
                                        0x1.c71c526b49cd6p-3, 0x1.74662e07df553p-3, 0x1.39a32d8be66fcp-3,
                                        0x1.2ef8dcba095f1p-3};
  static constexpr double tanh_largest = 20.0;  // from 19.07 on
  // relative error 1.1e-17
  static constexpr double erf_near[] = {0x1.06eba8214db69p-3,   -0x1.812746b037a25p-2,  0x1.ce2f21a0458d7p-4,
                                        -0x1.b82ce31354c44p-6,  0x1.565bcd2c6065dp-8,   -0x1.c02db932755e8p-11,
                                        0x1.f9a3b93b274ebp-14,  -0x1.f4dcef31428b3p-17, 0x1.ba68f50f24ef1p-20,
                                        -0x1.638f9e3668923p-23, 0x1.1319f1cbe3533p-26,  -0x1.c48dcf2fc789fp-30,
                                        0x1.3b61c0d6753f1p-33};
  // on [1, 6]; absolute error of erf 4.4e-18
  static constexpr double erf_far[] = {
      -0x1.8bebc349708bbp-23, -0x1.20dd556643382p0,   -0x1.45f432854e67ap-1,  -0x1.a4d9aa7486372p-4,
      0x1.388e913ec316bp-6,   0x1.27eea5eb39dc8p-12,  -0x1.d03c61d198ae4p-10, 0x1.5106f9ce0a457p-11,
      -0x1.8179f257e2370p-15, -0x1.249014b2c3709p-14, 0x1.779082e3c90e0p-15,  -0x1.1382fd9583015p-16,
      0x1.20b15895ad219p-18,  -0x1.c5c4899bb009bp-21, 0x1.0c13b7cf4202bp-23,  -0x1.d0a0cdddd6633p-27,
      0x1.17916be4e7ceap-30,  -0x1.a1f8397f419dap-35, 0x1.2477ff478d72ap-40};
  static constexpr double erf_largest = 6.0;  // from 5.92 on
  // The power series of atanh from 1/5 on, in s^2.
  static constexpr double power_tail[] = {0x1.9999999999997p-3, 0x1.2492492492d49p-3, 0x1.c71c71c5ca53ep-4,
                                          0x1.745d1813fb750p-4, 0x1.3b1369c7e36f8p-4, 0x1.111fc3ff591acp-4,
                                          0x1.de55ea441358fp-5, 0x1.ea0c2ccf614b2p-5};
};

// The coefficients are a template's argument, so that each is a constant of its own: device code cannot name a table.
template <class T, const auto& coefficients, int i = 0>
FASTNN_INLINE Vec<T> horner(Vec<T> x) {
  constexpr T coefficient = coefficients[i];
  if constexpr (i + 1 == sizeof(coefficients) / sizeof(T)) return splat(coefficient);
  else return fma<T>(horner<T, coefficients, i + 1>(x), x, splat(coefficient));
}

// ---- exp ------------------------------------------------------------------------------------------------------

// x = n ln 2 + r with |r| <= ln(2) / 2; the integer n stands in the low bits of `magic`.
template <class T>
struct Reduced {
  Vec<T> r, magic;
};

template <class T>
FASTNN_INLINE Reduced<T> reduce_by_ln2(Vec<T> x) {
  using C = MathConstants<T>;
  Vec<T> magic = fma<T>(x, splat(C::log2_e), splat(C::round_magic));
  Vec<T> n = magic - C::round_magic;
  Vec<T> r = fma<T>(n, splat(-C::ln2_hi), x);
  return {fma<T>(n, splat(-C::ln2_lo), r), magic};
}

// v * 2^n with one rounding, subnormal results and infinity included. Without an instruction for it: the exponent in
// two halves, of which the first multiplication is exact.
template <class T>
FASTNN_INLINE Vec<T> scale(Vec<T> v, Vec<T> magic) {
  using C = MathConstants<T>;
#if defined(__AVX512F__)
  Vec<T> n = magic - C::round_magic;
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_maskz_scalef_ps(0xFFFF, (__m512)v, (__m512)n);
  else return (Vec<T>)_mm512_maskz_scalef_pd(0xFF, (__m512d)v, (__m512d)n);
#else
  Vec<Unsigned<T>> biased = bits_as<Vec<Unsigned<T>>>(magic) - (bits_as<Unsigned<T>>(C::round_magic) - 2 * C::bias);
  Vec<Unsigned<T>> first = biased >> 1, second = biased - first;
  return v * bits_as<Vec<T>>(first << C::mantissa_bits) * bits_as<Vec<T>>(second << C::mantissa_bits);
#endif
}

template <class T>
FASTNN_INLINE Vec<T> clamp_for_exp(Vec<T> x) {
  using C = MathConstants<T>;
  return smaller<T>(splat(C::exp_largest), larger<T>(splat(C::exp_smallest), x));
}

template <class T>
FASTNN_INLINE Vec<T> exp_of(Reduced<T> x) {
  Vec<T> p = horner<T, MathConstants<T>::exp_tail>(x.r);
  p = fma<T>(p, x.r, splat(T{1}));
  return scale<T>(fma<T>(p, x.r, splat(T{1})), x.magic);
}

template <class T>
FASTNN_INLINE Vec<T> vexp(Vec<T> x) {
#if defined(__AVX512F__)
  return exp_of<T>(reduce_by_ln2<T>(clamp_for_exp<T>(x)));
#else
  // A multiplication that underflows takes some hundred cycles; arguments whose exponential is 0 in any case, such as
  // the -inf of masked logits, are kept from it.
  auto vanishes = x < MathConstants<T>::exp_smallest;
  Vec<T> e = exp_of<T>(reduce_by_ln2<T>(clamp_for_exp<T>(vanishes ? Vec<T>{} : x)));
  return vanishes ? Vec<T>{} : e;
#endif
}

// ---- log ------------------------------------------------------------------------------------------------------

// x = m 2^e with m in [sqrt(1/2), sqrt(2)), for finite x > 0.
template <class T>
struct Split {
  Vec<T> m, e;
};

template <class T>
FASTNN_INLINE Split<T> split_exponent(Vec<T> x) {
  using C = MathConstants<T>;
  constexpr T lift = C::two_mantissa * 4;
  auto subnormal = x < C::min_normal;
  Vec<Unsigned<T>> bits = bits_as<Vec<Unsigned<T>>>(subnormal ? x * lift : x);
  const Unsigned<T> one = bits_as<Unsigned<T>>(T{1}), sqrt_half = bits_as<Unsigned<T>>(C::sqrt_half);
  Vec<Unsigned<T>> moved = bits + (one - sqrt_half);
  Vec<Unsigned<T>> mantissa = moved & ((Unsigned<T>{1} << C::mantissa_bits) - 1);
  // An integer under 2^mantissa_bits becomes floating point through the bits of that power.
  Vec<Unsigned<T>> exponent = (moved >> C::mantissa_bits) | bits_as<Unsigned<T>>(C::two_mantissa);
  Vec<T> offset =
      subnormal ? splat(C::two_mantissa + C::bias + (C::mantissa_bits + 2)) : splat(C::two_mantissa + C::bias);
  return {bits_as<Vec<T>>(mantissa + sqrt_half), bits_as<Vec<T>>(exponent) - offset};
}

// What is not a positive finite number: log of inf is inf, of 0 -inf, below NaN; NaN stays.
template <class T>
FASTNN_INLINE Vec<T> log_specials(Vec<T> x, Vec<T> r) {
  r = x < T(__builtin_inf()) ? r : x;
  r = x == T{0} ? splat(T(-__builtin_inf())) : r;
  return x < T{0} ? splat(T(__builtin_nan(""))) : r;
}

// With s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + tail)), as in fdlibm's e_log.c.
template <class T>
FASTNN_INLINE Vec<T> vlog(Vec<T> x) {
  using C = MathConstants<T>;
  auto [m, e] = split_exponent<T>(x);
  Vec<T> f = m - T{1};
  Vec<T> s = f / (f + T{2});
  Vec<T> z = s * s;
  Vec<T> half = f * f * T{0.5};
  Vec<T> low = fma<T>(s, fma<T>(z, horner<T, C::log_tail>(z), half), e * C::ln2_lo);
  return log_specials<T>(x, fma<T>(e, splat(C::ln2_hi), f - (half - low)));
}

// ---- tanh, sigmoid, erf -----------------------------------------------------------------------------------------

// With u = exp(2 |x|) - 1, computed without cancellation: u / (u + 2).
template <class T>
FASTNN_INLINE Vec<T> vtanh(Vec<T> x) {
  using C = MathConstants<T>;
  Vec<T> a = smaller<T>(splat(C::tanh_largest), absolute<T>(x));
  auto [r, magic] = reduce_by_ln2<T>(a + a);
  Vec<T> tail = fma<T>(r * r, horner<T, C::exp_tail>(r), r);  // exp(r) - 1
  Vec<Unsigned<T>> biased = bits_as<Vec<Unsigned<T>>>(magic) - (bits_as<Unsigned<T>>(C::round_magic) - C::bias);
  Vec<T> power = bits_as<Vec<T>>(biased << C::mantissa_bits);
  Vec<T> u = fma<T>(power, tail, power - T{1});
  return copy_sign<T>(u / (u + T{2}), x);
}

// 1 / (1 + e) for x >= 0, e / (1 + e) below, e = exp(-|x|).
template <class T>
FASTNN_INLINE Vec<T> vsigmoid(Vec<T> x) {
  Vec<T> e = vexp<T>(-absolute<T>(x));
  return (x < T{0} ? e : splat(T{1})) / (e + T{1});
}

// x + x p(x^2) up to 1, then 1 - exp(q(|x|)).
template <class T>
FASTNN_INLINE Vec<T> verf(Vec<T> x) {
  using C = MathConstants<T>;
  Vec<T> a = smaller<T>(splat(C::erf_largest), absolute<T>(x));
  Vec<T> near = fma<T>(a, horner<T, C::erf_near>(a * a), a);
  Vec<T> far = T{1} - vexp<T>(horner<T, C::erf_far>(a));
  return copy_sign<T>(a > T{1} ? far : near, x);
}

// ---- power ------------------------------------------------------------------------------------------------------

// The rounding error of the product p = a * b.
FASTNN_INLINE Vec<double> product_error(Vec<double> a, Vec<double> b, Vec<double> p) {
  if constexpr (has_fma) {
    return fma<double>(a, b, -p);
  } else {  // Dekker, 1971
    Vec<double> ca = a * 0x1.00000002p27, cb = b * 0x1.00000002p27;
    Vec<double> ah = ca - (ca - a), bh = cb - (cb - b);
    Vec<double> al = a - ah, bl = b - bh;
    return ((ah * bh - p) + ah * bl + al * bh) + al * bl;
  }
}

// Beyond 2^64 in magnitude an exponent is as good as infinite, and its product with log 1 stays 0.
FASTNN_INLINE Vec<double> clamp_exponent(Vec<double> y) {
  return smaller<double>(splat(0x1p64), larger<double>(splat(-0x1p64), y));
}

// |x|^y in double, by exp(y log |x|) with log |x| = hi + lo to some 65 bits.
FASTNN_INLINE Vec<double> power_of_magnitude(Vec<double> x, Vec<double> y) {
  using C = MathConstants<double>;
  using V = Vec<double>;
  x = absolute<double>(x);
  auto [m, e] = split_exponent<double>(x);
  V f = m - 1.0;
  V d = m + 1.0, d_low = m - (d - 1.0);
  V s = f / d;
  V sd = s * d;
  V s_low = ((f - sd) - product_error(s, d, sd) - s * d_low) / d;
  V z = s * s;
  V z_low = product_error(s, s, z) + 2.0 * s * s_low;
  // atanh(s) = s + s z w, w = 1/3 + z/5 + ...; the third is needed beyond double.
  constexpr double third = 0x1.5555555555555p-2, third_low = 0x1.5555555555555p-56;
  V rest = fma<double>(z, horner<double, C::power_tail>(z), splat(third_low));
  V w = third + rest, w_low = rest - (w - third);
  V v = z * w;
  V v_low = product_error(z, w, v) + fma<double>(z, w_low, z_low * w);
  V u = s * v;
  V u_low = product_error(s, v, u) + fma<double>(s, v_low, s_low * v);
  V h = s + u, h_low = (u - (h - s)) + (s_low + u_low);
  V big = e * C::ln2_hi;
  V hi = big + 2.0 * h, lo = (2.0 * h - (hi - big)) + fma<double>(e, splat(C::ln2_lo), 2.0 * h_low);
  hi = log_specials<double>(x, hi);
  y = clamp_exponent(y);
  V product = y * hi;
  V product_low = product_error(y, hi, product) + y * lo;
  Reduced<double> reduced = reduce_by_ln2<double>(clamp_for_exp<double>(product));
  // Beyond, the result is 0, inf or NaN whatever the low part, which may be NaN.
  reduced.r += absolute<double>(product) < 1024.0 ? product_low : V{};
  return exp_of<double>(reduced);
}

// The signs and exceptions of C's pow (ISO C, F.10.4.4), which are NumPy's; r is |x|^y. Selections one after the other,
// because GCC 12 takes combined masks of AVX-512 apart lane by lane.
FASTNN_INLINE Vec<double> power_specials(Vec<double> x, Vec<double> y, Vec<double> r) {
  auto nearest = [](Vec<double> v) {
    Vec<double> a = absolute<double>(v);
    return a < 0x1p52 ? (a + 0x1p52) - 0x1p52 : a;
  };
  auto is_integer = nearest(y) == absolute<double>(y), is_even = nearest(y * 0.5) == absolute<double>(y * 0.5);
  Vec<double> odd = copy_sign<double>(r, x);
  Vec<double> invalid = x == -__builtin_inf() ? r : splat(__builtin_nan(""));
  invalid = x < 0.0 ? invalid : r;
  r = is_integer ? (is_even ? r : odd) : invalid;
  r = x == 1.0 ? splat(1.0) : r;
  return y == 0.0 ? splat(1.0) : r;
}

// Of doubles that were floats: their plain exp and log leave a relative error under 1e-13, hence half a ULP of float.
FASTNN_INLINE Vec<double> power_of_floats(Vec<double> x, Vec<double> y) {
  return power_specials(x, y, vexp<double>(clamp_exponent(y) * vlog<double>(absolute<double>(x))));
}

template <class T>
FASTNN_INLINE Vec<T> vpow(Vec<T> x, Vec<T> y) {
  if constexpr (__is_same(T, double)) return power_specials(x, y, power_of_magnitude(x, y));
  else return in_doubles(x, y, [](Vec<double> a, Vec<double> b) { return power_of_floats(a, b); });
}

}  // namespace
}  // namespace fastnn
