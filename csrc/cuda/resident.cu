// The steps of a small model by one block of threads: one launch for all steps of a call.
//
// Why it is fast. Launched one by one, the kernels of a small step take longer to begin than to run. Here parameters,
// batch and intermediate results stay in the shared memory of a multiprocessor, and so do the operations of a step;
// from one to the next it takes a barrier. What a step reads from elsewhere are the rows of its batch.
//
// Each operation is that of its kernel, element by element, and so are its bits.
#include "array/buffer.h"
#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/layout.h"
#include "cuda/narrow.h"
#include "cuda/operation.h"
#include "cuda/resident.h"
#include "cuda/slice.h"

namespace fastnn::cuda {

// Memory on chip, as much as a launch asks for.
FASTNN_INLINE std::byte* on_chip() {
  extern __shared__ uint4 resident_memory[];
  return reinterpret_cast<std::byte*>(resident_memory);
}

namespace {

constexpr int resident_threads = 256;

// Calls use(i) for the elements that are this thread's.
template <class Use>
FASTNN_INLINE void each_index(int64_t count, Use use) {
  for (int64_t i = threadIdx.x; i < count; i += resident_threads) use(i);
}

// ---- operations, by all threads of the block -----------------------------------------------------------------------

// What products need beside their operands: the steps of the largest tile.
template <class T>
constexpr int64_t scratch_bytes = sizeof(typename Group<T, 64, 64, 4, 4>::Steps);

// c stays in registers.
template <class T, int number>
FASTNN_FUNCTION void multiply(const TiledProduct<T>& call, std::byte* scratch) {
  constexpr Tile t = resident_tiles[number];
  static_assert(t.threads() == resident_threads && t.groups == 1);
  using G = Group<T, t.rows, t.columns, t.thread_rows, t.thread_columns>;
  static_assert(sizeof(typename G::Steps) <= scratch_bytes<T>);
  auto& steps = *reinterpret_cast<typename G::Steps*>(scratch);
  const Product& p = call.p;
  const SgdRule<T>* rule = rule_of<T>(p);
  G group;
  T c[t.thread_rows][t.thread_columns];
  for (int64_t row = 0; row < p.m; row += t.rows) {
    for (int64_t column = 0; column < p.n; column += t.columns) {
      group.each_element([&](int i, int j) { c[i][j] = T{0}; });
      for (int64_t k = 0; k < p.k; k += product_chunk) {
        const int64_t last = at_most(k + product_chunk, p.k);
        group.fold(call.a, call.b, row, column, k, last, static_cast<int>(ceil_div(last - k, depth<T>)), steps);
        group.each_element([&](int i, int j) {
          c[i][j] = merged(p, k == 0, row + group.row(i), column + group.column(j), group.sum[i][j], c[i][j]);
        });
      }
      group.each_element([&](int i, int j) { finish(p, rule, row + group.row(i), column + group.column(j), c[i][j]); });
    }
  }
}

template <class T>
FASTNN_FUNCTION void run(const TiledProduct<T>& call, std::byte* scratch) {
  switch (call.tile) {
    case 0: return multiply<T, 0>(call, scratch);
    case 1: return multiply<T, 1>(call, scratch);
    case 2: return multiply<T, 2>(call, scratch);
    default: return multiply<T, 3>(call, scratch);
  }
}

template <class T>
FASTNN_FUNCTION void run(const NarrowProduct& narrow, std::byte*) {
  narrow_elements<T>(narrow.product);
}

// Coordinates are taken apart in 32 bits: what fits on chip can be counted in them.
template <class T>
FASTNN_FUNCTION void run(const MappingCall<T>& m, std::byte*) {
  AllFunctions::with(m.function, [&]<class Function>(Function) {
    for (uint32_t i = threadIdx.x; i < static_cast<uint32_t>(m.count); i += resident_threads) {
      uint32_t rest = i, out = 0, a = 0, b = 0;
      for (int axis = 0; axis < m.at.rank; ++axis) {
        const auto side = static_cast<uint32_t>(m.at.shape[axis]);
        const uint32_t outer = axis + 1 < m.at.rank ? rest / side : 0, along = rest - outer * side;
        rest = outer;
        out += along * static_cast<uint32_t>(m.at.out[axis]);
        a += along * static_cast<uint32_t>(m.at.a[axis]);
        b += along * static_cast<uint32_t>(m.at.b[axis]);
      }
      if constexpr (Function::inputs == 1) m.out[out] = Function::template of<T>(m.a[a]);
      else m.out[out] = Function::template of<T>(m.a[a], m.b[b]);
    }
  });
}

template <class T>
FASTNN_FUNCTION void run(const DropoutCall<T>& d, std::byte*) {
  random_elements<T>(d.r, d.dropout);
}

// Rows are counted in 32 bits too.
template <class T>
FASTNN_FUNCTION void run(const Gather& g, std::byte*) {
  auto rows = [&]<class Unit>(Unit unit, int64_t stride, int64_t width) {
    const auto* data = static_cast<const typename Unit::From*>(g.data);
    auto* out = static_cast<typename Unit::To*>(g.out);
    const auto across = static_cast<uint32_t>(width);
#pragma unroll 4
    for (uint32_t i = threadIdx.x; i < static_cast<uint32_t>(g.count) * across; i += resident_threads)
      out[i] = unit.of(data[g.indices[i / across] * stride + i % across]);
  };
  if (is_copied(g)) with_copied(g, rows);
  else with_divided<T>(g, rows);
}

template <class T>
FASTNN_FUNCTION void run(const CrossEntropyCall<T>& call, std::byte*) {
  if (call.is_plain) cross_entropy_in_block<true>(call);
  else cross_entropy_in_block<false>(call);
}

template <class T>
FASTNN_FUNCTION void run(const SquaredErrorCall<T>& call, std::byte*) {
  mse_blocks(call);
}

template <class T>
FASTNN_FUNCTION void run(const FoldCall<T>& f, std::byte*) {
  if (f.inner > 1) fold_columns<T, T, Sum<T>>(f.x, f.out, f.outer, f.extent, f.inner, f.extent, f.divisor);
  else fold_rows<T, T, Sum<T>>(f.x, f.out, f.outer, f.extent, int64_t{1}, f.divisor);
}

template <class T>
FASTNN_FUNCTION void run(const Sgd& s, std::byte*) {
  const SgdRule<T> rule = *made_once<SgdRule<T>>(s);
  T *param = static_cast<T*>(s.param), *velocity = static_cast<T*>(s.velocity);
  each_index(s.count, [&](int64_t i) {
    T speed = rule.moves ? velocity[i] : T{0};
    rule(param[i], static_cast<const T*>(s.grad)[i], speed);
    if (rule.moves) velocity[i] = speed;
  });
}

template <class T>
FASTNN_FUNCTION void run(const Adam& a, std::byte*) {
  const AdamRule<T> rule = *made_once<AdamRule<T>>(a);
  each_index(a.count, [&](int64_t i) {
    rule(static_cast<T*>(a.param)[i], static_cast<const T*>(a.grad)[i], static_cast<T*>(a.exp_avg)[i],
         static_cast<T*>(a.exp_avg_sq)[i]);
  });
}

template <class T>
FASTNN_FUNCTION void run(const Slice& slice, std::byte*) {
  with_word(slice, [&]<class Word>(Word) { copy_words<Word>(slice); });
}

template <class T>
FASTNN_FUNCTION void run(const Increment& increment, std::byte*) {
  if (threadIdx.x == 0) ++*increment.index;
}

// ---- the kernel -----------------------------------------------------------------------------------------------------

// On chip: operations, then what products need, then regions.
template <class T>
struct Steps {
  const Operation<T>* operations;
  const Region* regions;
  int operation_count, region_count;
  int64_t scratch;  // its place
};

// Several units at a time are on their way.
FASTNN_INLINE void move_units(uint4* to, const uint4* from, int64_t units) {
  constexpr int at_once = 4;
  for (int64_t first = threadIdx.x; first < units; first += at_once * resident_threads) {
    uint4 held[at_once];
#pragma unroll
    for (int i = 0; i < at_once; ++i)
      if (first + i * resident_threads < units) held[i] = from[first + i * resident_threads];
#pragma unroll
    for (int i = 0; i < at_once; ++i)
      if (first + i * resident_threads < units) to[first + i * resident_threads] = held[i];
  }
}

template <bool in, class T>
FASTNN_INLINE void move_regions(const Steps<T>& all) {
  for (int i = 0; i < all.region_count; ++i) {
    const Region r = all.regions[i];
    auto *here = reinterpret_cast<uint4*>(on_chip() + r.place), *there = reinterpret_cast<uint4*>(r.memory);
    move_units(in ? here : there, in ? there : here, r.bytes / Layout::unit);
  }
}

template <class T>
FASTNN_FUNCTION void move_in(const Steps<T>& all) {
  move_regions<true>(all);
  auto* operations = reinterpret_cast<Operation<T>*>(on_chip());
  move_units(reinterpret_cast<uint4*>(operations), reinterpret_cast<const uint4*>(all.operations),
             all.operation_count * int64_t{sizeof(Operation<T>)} / Layout::unit);
  __syncthreads();
  each_index(all.operation_count, [&](int64_t i) {
    with_call(operations[i], [](auto& call) {
      each_pointer(call, []<class P>(P*& pointer, int64_t) {
        if (pointer) pointer = reinterpret_cast<P*>(on_chip() + reinterpret_cast<intptr_t>(pointer));
      });
    });
  });
}

template <class T>
FASTNN_FUNCTION void move_out(const Steps<T>& all) {
  move_regions<false>(all);
}

template <class T>
FASTNN_KERNEL(resident_threads)
run_steps(const __grid_constant__ Steps<T> all, int64_t steps) {
  move_in(all);
  for (; steps > 0; --steps) {
    for (int i = 0; i < all.operation_count; ++i) {
      __syncthreads();
      with_call(reinterpret_cast<Operation<T>*>(on_chip())[i],
                [&](auto& call) { run<T>(call, on_chip() + all.scratch); });
    }
  }
  __syncthreads();
  move_out(all);
}

// ---- on the host ----------------------------------------------------------------------------------------------------

// What a step costs, in multiply-adds, of which a multiprocessor makes some 64 in a cycle; a function of an element
// takes it as long as many. Estimates: none of them has been measured.
constexpr int64_t of_an_element = 32, of_an_exponential = 128;
// A kernel of a graph takes about a microsecond to begin.
constexpr int64_t of_a_launch = 1 << 17;

struct Cost {
  int64_t operator()(const Product& p) const { return p.m * p.n * p.k; }
  int64_t operator()(const NarrowProduct& n) const { return (*this)(n.product); }
  int64_t operator()(const Mapping& m) const {
    const bool is_simple = m.function < AllFunctions::number_of<Exp>();
    return count_of(m.elements.out) * (is_simple ? of_an_element : of_an_exponential);
  }
  int64_t operator()(const Dropping& d) const { return d.random.count * of_an_exponential; }
  int64_t operator()(const Gather& g) const { return g.count * g.width * of_an_element; }
  int64_t operator()(const RowLosses& r) const { return r.loss.rows * r.loss.classes * of_an_exponential; }
  int64_t operator()(const SquaredError& s) const { return s.count * of_an_element; }
  int64_t operator()(const Sums& s) const { return s.reduce.outer * s.reduce.extent * s.reduce.inner * of_an_element; }
  int64_t operator()(const Sgd& s) const { return s.count * of_an_element; }
  int64_t operator()(const Adam& a) const { return a.count * of_an_exponential; }
  int64_t operator()(const Slice&) const { return 0; }
  int64_t operator()(const Increment&) const { return 0; }
};

template <class T>
bool is_worth_staying(const Recording& recording) {
  const int64_t of_type = sizeof(T) == 4 ? 1 : device().double_cost;
  int64_t cost = 0;
  for (const Note& note : recording.notes) cost += std::visit(Cost{}, note);
  return cost * of_type <= of_a_launch * recording.launches;
}

template <class T>
class StepsOf final : public ResidentSteps {
 public:
  StepsOf(const std::vector<Operation<T>>& operations, const Layout& layout, int64_t scratch, int64_t end)
      : operations_(on_device(operations)), regions_(on_device(layout.regions())) {
    all_ = {reinterpret_cast<const Operation<T>*>(operations_.data()), reinterpret_cast<const Region*>(regions_.data()),
            static_cast<int>(operations.size()), static_cast<int>(layout.regions().size()), scratch};
    geometry_ = {1, resident_threads, end};
  }
  void launch(int64_t steps) const override { cuda::launch(run_steps<T>, geometry_, all_, steps); }

 private:
  template <class Element>
  static Buffer on_device(const std::vector<Element>& elements) {
    const auto bytes = static_cast<int64_t>(elements.size() * sizeof(Element));
    Buffer buffer(backend().allocate(bytes), backend().release);
    backend().copy(buffer.data(), elements.data(), bytes);
    return buffer;
  }

  Buffer operations_, regions_;
  Steps<T> all_;
  Geometry geometry_;
};

// What a launch can ask for: all that a block can have, beside what the kernel names itself.
template <class T>
int64_t available() {
  static const int64_t bytes = [] {
    cudaFuncAttributes attributes{};
    check(cudaFuncGetAttributes(&attributes, run_steps<T>), "ask for a kernel's memory");
    const int64_t rest = device().shared_memory - static_cast<int64_t>(attributes.sharedSizeBytes);
    check(cudaFuncSetAttribute(run_steps<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(rest)),
          "take the memory of a multiprocessor");
    return rest;
  }();
  return bytes;
}

template <class T>
std::unique_ptr<ResidentSteps> make(const Recording& recording) {
  std::vector<Operation<T>> operations;
  Layout layout;
  for (const Note& note : recording.notes) {
    std::optional<Operation<T>> operation = std::visit(AsOperation<T>{}, note);
    if (!operation) return nullptr;
    with_call(*operation, [&](auto& call) {
      each_pointer(call, [&](auto* pointer, int64_t bytes) {
        if (pointer) layout.keep(pointer, bytes);
      });
    });
    operations.push_back(*operation);
  }
  const auto scratch = static_cast<int64_t>(operations.size() * sizeof(Operation<T>));
  const int64_t end = layout.settle(scratch + scratch_bytes<T>);
  if (end > available<T>() || !is_worth_staying<T>(recording)) return nullptr;
  for (Operation<T>& operation : operations) {
    // What a step changes on chip is not seen elsewhere.
    if (const auto [memory, bytes] = elsewhere(operation); layout.keeps_any(memory, bytes)) return nullptr;
    with_call(operation, [&](auto& call) {
      each_pointer(call, [&]<class P>(P*& pointer, int64_t) {
        if (pointer) pointer = reinterpret_cast<P*>(layout.place_of(pointer));
      });
    });
  }
  return std::make_unique<StepsOf<T>>(operations, layout, scratch, end);
}

}  // namespace

std::unique_ptr<ResidentSteps> resident_steps(const Recording& recording) {
  if (!recording.is_complete) return nullptr;
  std::unique_ptr<ResidentSteps> steps = make<float>(recording);
  return steps ? std::move(steps) : make<double>(recording);
}

}  // namespace fastnn::cuda
