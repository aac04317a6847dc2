// sgd_update and adam_update: one step of the optimizer, in place. The rules are those of cpu/rules.h.
//
// Why it is fast. One pass, sixteen bytes at a time: everything an element needs is read once and written once. What
// the rule computes of its scalars, in double, is computed once for each block of threads.
#include "cuda/expressions.h"
#include "cuda/launch.h"
#include "cuda/rule.h"

namespace fastnn::cuda {
namespace {

// The elements of this thread, in packs where all arrays are aligned to them: use(first, pack).
template <class T, class Use>
FASTNN_INLINE void each_pack(int64_t count, bool packed, Use use) {
  using Whole = Pack<T, 16 / sizeof(T)>;
  const int64_t thread = blockIdx.x * int64_t{blockDim.x} + threadIdx.x, threads = int64_t{gridDim.x} * blockDim.x;
  const int64_t packs = packed ? count / Whole::count : 0;
  for (int64_t p = thread; p < packs; p += threads) use(p * Whole::count, Whole{});
  for (int64_t i = packs * Whole::count + thread; i < count; i += threads) use(i, Pack<T, 1>{});
}

template <class Unit, class T>
FASTNN_INLINE Unit load_unit(const T* from) {
  return *reinterpret_cast<const Unit*>(from);
}
template <class Unit, class T>
FASTNN_INLINE void store_unit(T* to, Unit unit) {
  *reinterpret_cast<Unit*>(to) = unit;
}

bool are_aligned(std::initializer_list<const void*> arrays) {
  uintptr_t bits = 0;
  for (const void* array : arrays) bits |= reinterpret_cast<uintptr_t>(array);
  return bits % 16 == 0;
}

template <class T>
FASTNN_KERNEL(256)
sgd_kernel(const __grid_constant__ Sgd s, bool packed) {
  const SgdRule<T> rule = *made_once<SgdRule<T>>(s);
  T *param = static_cast<T*>(s.param), *velocity = rule.moves ? static_cast<T*>(s.velocity) : nullptr;
  const T* grad = static_cast<const T*>(s.grad);
  each_pack<T>(s.count, packed, [&]<class Unit>(int64_t i, Unit) {
    Unit p = load_unit<Unit>(param + i), g = load_unit<Unit>(grad + i), v{};
    if (velocity) v = load_unit<Unit>(velocity + i);
#pragma unroll
    for (int k = 0; k < Unit::count; ++k) rule(p.v[k], g.v[k], v.v[k]);
    store_unit(param + i, p);
    if (velocity) store_unit(velocity + i, v);
  });
}

template <class T>
FASTNN_KERNEL(256)
adam_kernel(const __grid_constant__ Adam a, bool packed) {
  const AdamRule<T> rule = *made_once<AdamRule<T>>(a);
  T *param = static_cast<T*>(a.param), *mean = static_cast<T*>(a.exp_avg), *square = static_cast<T*>(a.exp_avg_sq);
  const T* grad = static_cast<const T*>(a.grad);
  each_pack<T>(a.count, packed, [&]<class Unit>(int64_t i, Unit) {
    Unit p = load_unit<Unit>(param + i), g = load_unit<Unit>(grad + i);
    Unit m = load_unit<Unit>(mean + i), s = load_unit<Unit>(square + i);
#pragma unroll
    for (int k = 0; k < Unit::count; ++k) rule(p.v[k], g.v[k], m.v[k], s.v[k]);
    store_unit(param + i, p), store_unit(mean + i, m), store_unit(square + i, s);
  });
}

Geometry geometry_of_update(int64_t count, DType dtype, bool packed) {
  return geometry_of(count, packed ? 16 / item_size(dtype) : 1);
}

void sgd(const Sgd& s, std::byte*) {
  if (s.count == 0) return;
  const bool packed = are_aligned({s.param, s.grad, s.velocity});
  const Geometry geometry = geometry_of_update(s.count, s.dtype, packed);
  if (s.dtype == DType::float32) launch(sgd_kernel<float>, geometry, s, packed);
  else launch(sgd_kernel<double>, geometry, s, packed);
}

void adam(const Adam& a, std::byte*) {
  if (a.count == 0) return;
  const bool packed = are_aligned({a.param, a.grad, a.exp_avg, a.exp_avg_sq});
  const Geometry geometry = geometry_of_update(a.count, a.dtype, packed);
  if (a.dtype == DType::float32) launch(adam_kernel<float>, geometry, a, packed);
  else launch(adam_kernel<double>, geometry, a, packed);
}

}  // namespace

void register_update(Table<DeviceKernel>& table) {
  table.sgd_update = {nullptr, sgd};
  table.adam_update = {nullptr, adam};
}

}  // namespace fastnn::cuda
