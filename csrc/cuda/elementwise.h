// The driver of elementwise kernels: out[i] = f(in0[i], in1[i], in2[i]) over views of one shape.
//
// Where all arrays are adjacent a thread loads, computes and stores sixteen bytes at a time of the widest operand, and
// neighbours take neighbouring elements: memory is read and written once, in whole lines. Else the element's place is
// taken apart into coordinates, once for all operands.
//
// An operation is a type with `inputs`, the element types `Out`, `A` (of the first operand) and `B` (of the others),
// and a function `of`.
#pragma once

#include "cuda/functions.h"
#include "cuda/launch.h"

namespace fastnn::cuda {
namespace {

template <class Operation>
FASTNN_INLINE auto apply(const auto& in, auto pick) {
  if constexpr (Operation::inputs == 1) return Operation::of(pick(in.a));
  else if constexpr (Operation::inputs == 2) return Operation::of(pick(in.a), pick(in.b));
  else return Operation::of(pick(in.a), pick(in.b), pick(in.c));
}

// The elements of several operands, of types that may differ.
template <class A, class B, class C>
struct Operands {
  A a;
  B b;
  C c;
};

template <class Operation>
struct Widths {
  static constexpr int64_t in = at_least(sizeof(typename Operation::A), sizeof(typename Operation::B));
  static constexpr int64_t widest = at_least(in, sizeof(typename Operation::Out));
  static constexpr int pack = static_cast<int>(16 / widest);
};

// `count` elements, all operands adjacent; whole packs where `packed`.
template <class Operation>
FASTNN_KERNEL(256)
adjacent_elements(typename Operation::Out* out,
                  Operands<const typename Operation::A*, const typename Operation::B*, const typename Operation::B*> in,
                  int64_t count, bool packed) {
  constexpr int n = Widths<Operation>::pack;
  const int64_t thread = blockIdx.x * int64_t{blockDim.x} + threadIdx.x, threads = int64_t{gridDim.x} * blockDim.x;
  const int64_t packs = packed ? count / n : 0;
  for (int64_t p = thread; p < packs; p += threads) {
    auto load = [p]<class T>(const T* from) { return reinterpret_cast<const Pack<T, n>*>(from)[p]; };
    Operands<Pack<typename Operation::A, n>, Pack<typename Operation::B, n>, Pack<typename Operation::B, n>> x;
    x.a = load(in.a);
    if constexpr (Operation::inputs > 1) x.b = load(in.b);
    if constexpr (Operation::inputs > 2) x.c = load(in.c);
    Pack<typename Operation::Out, n> result;
#pragma unroll
    for (int i = 0; i < n; ++i) result.v[i] = apply<Operation>(x, [i](const auto& pack) { return pack.v[i]; });
    reinterpret_cast<Pack<typename Operation::Out, n>*>(out)[p] = result;
  }
  for (int64_t i = packs * n + thread; i < count; i += threads)
    out[i] = apply<Operation>(in, [i](const auto* from) { return from[i]; });
}

// Where an element stands in each operand; axes from the last to the first.
struct Strided {
  int rank;
  int64_t shape[max_rank], out[max_rank], a[max_rank], b[max_rank], c[max_rank];
};

template <class Operation>
FASTNN_KERNEL(256)
strided_elements(typename Operation::Out* out,
                 Operands<const typename Operation::A*, const typename Operation::B*, const typename Operation::B*> in,
                 int64_t count, const __grid_constant__ Strided at) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    int64_t rest = i, to = 0, a = 0, b = 0, c = 0;
    for (int axis = 0; axis < at.rank; ++axis) {
      const int64_t side = at.shape[axis];
      int64_t along = rest;
      if (axis + 1 < at.rank) {
        // A division of 32 bits takes a fraction of one of 64.
        const int64_t outer =
            (rest | side) >> 32 == 0 ? static_cast<uint32_t>(rest) / static_cast<uint32_t>(side) : rest / side;
        along = rest - outer * side;
        rest = outer;
      }
      to += along * at.out[axis];
      a += along * at.a[axis];
      if constexpr (Operation::inputs > 1) b += along * at.b[axis];
      if constexpr (Operation::inputs > 2) c += along * at.c[axis];
    }
    const Operands<typename Operation::A, typename Operation::B, typename Operation::B> x{
        in.a[a], Operation::inputs > 1 ? in.b[b] : typename Operation::B{},
        Operation::inputs > 2 ? in.c[c] : typename Operation::B{}};
    out[to] = apply<Operation>(x, [](const auto& element) { return element; });
  }
}

// ---- on the host --------------------------------------------------------------------------------------------------

inline int64_t count_of(const View& v) {
  int64_t count = 1;
  for (int axis = 0; axis < v.rank; ++axis) count *= v.shape[axis];
  return count;
}

inline bool is_adjacent(const View& v) {
  int64_t step = 1;
  for (int axis = v.rank - 1; axis >= 0; --axis) {
    if (v.shape[axis] != 1 && v.strides[axis] != step) return false;
    step *= v.shape[axis];
  }
  return true;
}

inline Strided strided_of(const Elementwise& e, int inputs) {
  Strided at{};
  at.rank = e.out.rank;
  for (int i = 0; i < at.rank; ++i) {
    const int axis = at.rank - 1 - i;
    at.shape[i] = e.out.shape[axis];
    at.out[i] = e.out.strides[axis];
    at.a[i] = e.in[0].strides[axis];
    if (inputs > 1) at.b[i] = e.in[1].strides[axis];
    if (inputs > 2) at.c[i] = e.in[2].strides[axis];
  }
  return at;
}

template <class Operation>
void run(const Elementwise& e) {
  using A = typename Operation::A;
  using B = typename Operation::B;
  const int64_t count = count_of(e.out);
  if (count == 0) return;
  auto* out = reinterpret_cast<typename Operation::Out*>(e.out.data);
  const Operands<const A*, const B*, const B*> in{reinterpret_cast<const A*>(e.in[0].data),
                                                  reinterpret_cast<const B*>(e.in[1].data),
                                                  reinterpret_cast<const B*>(e.in[2].data)};
  bool adjacent = is_adjacent(e.out), packed = reinterpret_cast<uintptr_t>(out) % 16 == 0;
  for (int k = 0; k < Operation::inputs; ++k) {
    adjacent &= is_adjacent(e.in[k]);
    packed &= reinterpret_cast<uintptr_t>(e.in[k].data) % 16 == 0;
  }
  if (adjacent)
    launch(adjacent_elements<Operation>, geometry_of(count, packed ? Widths<Operation>::pack : 1), out, in, count,
           packed);
  else launch(strided_elements<Operation>, geometry_of(count), out, in, count, strided_of(e, Operation::inputs));
}

// An operation on one type: `Function` has `inputs` and of<T>().
template <class Function, class T>
struct OfType {
  static constexpr int inputs = Function::inputs;
  using Out = T;
  using A = T;
  using B = T;
  static FASTNN_INLINE T of(auto... x) { return Function::template of<T>(x...); }
};

template <class Function>
DeviceKernel<Elementwise> floating() {
  return {nullptr, [](const Elementwise& e, std::byte*) {
            const Mapping mapping{e, AllFunctions::number_of<Function>()};
            const Noting noting(&mapping);
            if (e.in[0].dtype == DType::float32) run<OfType<Function, float>>(e);
            else run<OfType<Function, double>>(e);
          }};
}

template <class Function>
DeviceKernel<Elementwise> numeric() {
  return {nullptr, [](const Elementwise& e, std::byte*) {
            const Mapping mapping{e, AllFunctions::number_of<Function>()};
            const Noting noting(&mapping);
            if (e.in[0].dtype == DType::float32) run<OfType<Function, float>>(e);
            else if (e.in[0].dtype == DType::float64) run<OfType<Function, double>>(e);
            else run<OfType<Function, int64_t>>(e);
          }};
}

}  // namespace
}  // namespace fastnn::cuda
