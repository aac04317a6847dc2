// sgd_update and adam_update: one step of the optimizer, in place. The rules are those of cpu/rules.h.
//
// Why it is fast. One pass, sixteen bytes at a time: everything an element needs is read once and written once. What
// the rule computes of its scalars, in double, is computed once for each block of threads. The updates of a step are
// one launch: most of them are so small that to launch one takes longer than to run it.
#include "cuda/expressions.h"
#include "cuda/launch.h"
#include "cuda/rule.h"

namespace fastnn::cuda {
namespace {

// The updates of a launch, and where in the grid the blocks of each begin. It travels with the launch, as its argument.
template <class Update, int most>
struct Updates {
  Update each[most];
  int64_t first_block[most + 1];
};

inline constexpr int most_updates = 128;  // of a launch
static_assert(sizeof(Updates<Sgd, most_updates>) < 32764 && sizeof(Updates<Adam, most_updates>) < 32764,
              "more than a launch takes as its arguments");

// The update that this block has a part in.
template <class Update, int most>
FASTNN_INLINE int number_of_update(const Updates<Update, most>& all) {
  int first = 0, count = most;
  while (count > 1) {
    const int half = count / 2;
    if (all.first_block[first + half] <= blockIdx.x) first += half, count -= half;
    else count = half;
  }
  return first;
}

// The elements of this thread, in packs where all arrays are aligned to them: use(first, pack).
template <class T, class All, class Use>
FASTNN_INLINE void each_pack(const All& all, int number, int64_t count, bool packed, Use use) {
  using Whole = Pack<T, 16 / sizeof(T)>;
  const int64_t block = blockIdx.x - all.first_block[number];
  const int64_t blocks = all.first_block[number + 1] - all.first_block[number];
  const int64_t thread = block * blockDim.x + threadIdx.x, threads = blocks * blockDim.x;
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

template <class... Arrays>
constexpr bool are_aligned(const Arrays*... arrays) {
  return ((reinterpret_cast<uintptr_t>(arrays) | ...)) % 16 == 0;
}
constexpr bool are_packed(const Sgd& s) { return are_aligned(s.param, s.grad, s.velocity); }
constexpr bool are_packed(const Adam& a) { return are_aligned(a.param, a.grad, a.exp_avg, a.exp_avg_sq); }

template <class T, int most>
FASTNN_KERNEL(256)
sgd_kernel(const __grid_constant__ Updates<Sgd, most> all) {
  const int number = number_of_update(all);
  const Sgd& s = all.each[number];
  const SgdRule<T> rule = *made_once<SgdRule<T>>(s);
  T *param = static_cast<T*>(s.param), *velocity = rule.moves ? static_cast<T*>(s.velocity) : nullptr;
  const T* grad = static_cast<const T*>(s.grad);
  each_pack<T>(all, number, s.count, are_packed(s), [&]<class Unit>(int64_t i, Unit) {
    Unit p = load_unit<Unit>(param + i), g = load_unit<Unit>(grad + i), v{};
    if (velocity) v = load_unit<Unit>(velocity + i);
#pragma unroll
    for (int k = 0; k < Unit::count; ++k) rule(p.v[k], g.v[k], v.v[k]);
    store_unit(param + i, p);
    if (velocity) store_unit(velocity + i, v);
  });
}

template <class T, int most>
FASTNN_KERNEL(256)
adam_kernel(const __grid_constant__ Updates<Adam, most> all) {
  const int number = number_of_update(all);
  const Adam& a = all.each[number];
  const AdamRule<T> rule = *made_once<AdamRule<T>>(a);
  T *param = static_cast<T*>(a.param), *mean = static_cast<T*>(a.exp_avg), *square = static_cast<T*>(a.exp_avg_sq);
  const T* grad = static_cast<const T*>(a.grad);
  each_pack<T>(all, number, a.count, are_packed(a), [&]<class Unit>(int64_t i, Unit) {
    Unit p = load_unit<Unit>(param + i), g = load_unit<Unit>(grad + i);
    Unit m = load_unit<Unit>(mean + i), s = load_unit<Unit>(square + i);
#pragma unroll
    for (int k = 0; k < Unit::count; ++k) rule(p.v[k], g.v[k], m.v[k], s.v[k]);
    store_unit(param + i, p), store_unit(mean + i, m), store_unit(square + i, s);
  });
}

template <class T, int most>
constexpr auto kernel_of(const Updates<Sgd, most>&) {
  return sgd_kernel<T, most>;
}
template <class T, int most>
constexpr auto kernel_of(const Updates<Adam, most>&) {
  return adam_kernel<T, most>;
}

// `count` updates of one dtype, at most `most`.
template <int most, class Update>
void launch_updates(const Update* updates, int64_t count) {
  Updates<Update, most> all{};
  int64_t blocks = 0;
  for (int i = 0; i < most; ++i) {
    all.first_block[i] = blocks;
    if (i >= count || updates[i].count == 0) continue;
    all.each[i] = updates[i];
    blocks += geometry_of(updates[i].count, are_packed(updates[i]) ? 16 / item_size(updates[i].dtype) : 1).blocks.x;
  }
  all.first_block[most] = blocks;
  if (blocks == 0) return;
  const Geometry geometry{static_cast<unsigned>(blocks), 256};
  if (updates->dtype == DType::float32) launch(kernel_of<float>(all), geometry, all);
  else launch(kernel_of<double>(all), geometry, all);
}

template <class Update>
void update(const Update& update, std::byte*) {
  const Noting noting(&update);
  launch_updates<1>(&update, 1);
}

template <class Update>
void update_all(const Update* updates, int64_t count) {
  const Noting noting(updates, count);
  for (int64_t i = 0; i < count; i += most_updates)
    launch_updates<most_updates>(updates + i, at_most(count - i, most_updates));
}

}  // namespace

void register_update(DeviceBackend& backend) {
  backend.kernels.sgd_update = {nullptr, update<Sgd>};
  backend.kernels.adam_update = {nullptr, update<Adam>};
  backend.sgd_updates = update_all<Sgd>;
  backend.adam_updates = update_all<Adam>;
}

}  // namespace fastnn::cuda
