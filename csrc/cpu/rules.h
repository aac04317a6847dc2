// The update rules, a vector at a time: update.h runs them over rows.
//
// Scalars are computed in double, converted to the dtype once, and then, per element (p param, g gradient):
//   sgd   g = fma(weight_decay, p, g)             where weight_decay is not 0
//         v = fma(momentum, v, (1 - dampening) g) where momentum is not 0; the factor is left out where it is 1
//         g = fma(momentum, v, g) with nesterov, else v
//         p = fma(-lr, g, p)
//   adam  p = (1 - lr weight_decay) p   decoupled, else   g = fma(weight_decay, p, g);   neither where it is 0
//         m = fma(beta1, m, (1 - beta1) g)
//         s = fma(beta2, s, (1 - beta2) (g g))
//         p = fma(-lr / correction1, m / fma(sqrt(s), 1 / sqrt(correction2), eps), p)
//
// csrc/cuda compiles this header too, with vectors of one lane (cuda/lane.h).
#pragma once

#ifndef FASTNN_ONE_LANE
#include "cpu/vec.h"
#endif
#include "kernels/kernels.h"

namespace fastnn {
namespace {

template <class T>
struct SgdRule {
  Vec<T> minus_lr, momentum, share, decay;  // share: 1 - dampening
  bool moves, dampens, decays, nesterov;    // moves: has a velocity

  FASTNN_INLINE explicit SgdRule(const Sgd& s)
      : minus_lr(splat(static_cast<T>(-*s.lr))),
        momentum(splat(static_cast<T>(s.momentum))),
        share(splat(static_cast<T>(1 - s.dampening))),
        decay(splat(static_cast<T>(s.weight_decay))),
        moves(s.velocity != nullptr),
        dampens(s.dampening != 0),
        decays(s.weight_decay != 0),
        nesterov(s.nesterov) {}

  FASTNN_INLINE void operator()(Vec<T>& p, Vec<T> g, Vec<T>& v) const {
    if (decays) g = fma<T>(decay, p, g);
    if (moves) {
      v = fma<T>(momentum, v, dampens ? share * g : g);
      g = nesterov ? fma<T>(momentum, v, g) : v;
    }
    p = fma<T>(minus_lr, g, p);
  }
};

template <class T>
struct AdamRule {
  Vec<T> minus_rate, root_scale, beta1, share1, beta2, share2, eps, decay;
  bool decays, decoupled;

  FASTNN_INLINE explicit AdamRule(const Adam& a)
      : minus_rate(splat(static_cast<T>(-*a.lr / *a.correction1))),
        root_scale(splat(static_cast<T>(1 / __builtin_sqrt(*a.correction2)))),
        beta1(splat(static_cast<T>(a.beta1))),
        share1(splat(static_cast<T>(1 - a.beta1))),
        beta2(splat(static_cast<T>(a.beta2))),
        share2(splat(static_cast<T>(1 - a.beta2))),
        eps(splat(static_cast<T>(a.eps))),
        decay(splat(static_cast<T>(a.decoupled ? 1 - *a.lr * a.weight_decay : a.weight_decay))),
        decays(a.weight_decay != 0),
        decoupled(a.decoupled) {}

  FASTNN_INLINE void operator()(Vec<T>& p, Vec<T> g, Vec<T>& m, Vec<T>& s) const {
    if (decays) {
      if (decoupled) p = decay * p;
      else g = fma<T>(decay, p, g);
    }
    m = fma<T>(beta1, m, share1 * g);
    s = fma<T>(beta2, s, share2 * (g * g));
    p = fma<T>(minus_rate, m / fma<T>(square_root<T>(s), root_scale, eps), p);
  }
};

}  // namespace
}  // namespace fastnn
