#include <dlfcn.h>

#include <compare>
#include <map>
#include <memory>
#include <mutex>
#include <type_traits>

#include "cuda/cublaslt.h"
#include "cuda/cublaslt_api.h"
#include "cuda/runtime.h"

namespace fastnn::cuda::cublaslt {
namespace {

// Hopper's algorithms take as much, by NVIDIA's advice; older ones take less.
constexpr uint64_t most_workspace_bytes = 32 << 20;

struct Library {
  Functions functions;
  void* handle;
  std::string description;
};

void check(const Functions& functions, Status status, const char* what) {
  if (status == success) return;
  std::string text = std::string("[cuda] cuBLASLt could not ") + what + ": " + functions.get_status_string(status);
  if (status == allocation_failed) throw OutOfMemory(text);
  throw DeviceError(text);
}

Library open(const char* file) {
  device();  // the library begins with the device that is in use
  std::unique_ptr<void, int (*)(void*)> opened(dlopen(file, RTLD_NOW | RTLD_LOCAL), dlclose);
  if (!opened) throw DeviceError(dlerror());
  Library library{};
  auto find = [&](auto& function, const char* name) {
    void* found = dlsym(opened.get(), name);
    if (!found) throw DeviceError(std::string(file) + " has no " + name);
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(found);
  };
#define FASTNN_FIND(function, name) find(library.functions.function, #name);
  FASTNN_CUBLASLT_FUNCTIONS(FASTNN_FIND)
#undef FASTNN_FIND
  check(library.functions, library.functions.create(&library.handle), "begin");
  const size_t version = library.functions.get_version();  // 130002 is 13.0.2
  library.description = "cuBLASLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
                        "." + std::to_string(version % 100);
  opened.release();  // it stays
  return library;
}

// ---- one shape ------------------------------------------------------------------------------------------------------

using Held = std::unique_ptr<void, Status (*)(void*)>;

// A matrix as the library takes it: its columns are contiguous, so that one with contiguous rows is its transpose.
struct Layout {
  int64_t rows, columns, leading;
};

// All that the library is told of a product but where its matrices lie; of that only how it is aligned. Algorithms ask
// for sixteen bytes at most, and memory that is laid out for a step has them like all other.
struct Shape {
  int64_t m, n, k, a_leading, b_leading, c_row;
  bool a_along_k, b_along_k;  // where its elements are contiguous
  bool a_aligned, b_aligned, c_aligned;
  Precision precision;

  Shape(const Product& p, const void* c, int64_t row)
      : m(p.m), n(p.n), k(p.k), c_row(m == 1 ? n : row), precision(p.precision) {
    auto is_along_k = [this](int64_t k_stride, int64_t other) { return k_stride == 1 && other >= k; };
    a_along_k = is_along_k(p.a_column, p.a_row), b_along_k = is_along_k(p.b_row, p.b_column);
    a_leading = a_along_k ? p.a_row : p.a_column, b_leading = b_along_k ? p.b_column : p.b_row;
    auto is_aligned = [](const void* place) { return reinterpret_cast<uintptr_t>(place) % 16 == 0; };
    a_aligned = is_aligned(p.a), b_aligned = is_aligned(p.b), c_aligned = is_aligned(c);
  }

  auto operator<=>(const Shape&) const = default;
};

struct Way {
  Held descriptor, a, b, c;
  Found found;
};

class Products {
 public:
  explicit Products(Library library) : library_(std::move(library)) {}

  const char* description() const { return library_.description.c_str(); }

  const Way& way_of(const Shape& shape) {
    std::lock_guard lock(mutex_);
    auto known = ways_.find(shape);
    return known != ways_.end() ? known->second : ways_.emplace(shape, choose(shape)).first->second;
  }

  // Its a and its b, since it makes the transpose of c.
  void multiply(const Way& way, const void* a, const void* b, void* c, void* workspace) {
    const float alpha = 1, beta = 0;
    const Functions& f = library_.functions;
    check(
        f,
        f.multiply(library_.handle, way.descriptor.get(), &alpha, a, way.a.get(), b, way.b.get(), &beta, c, way.c.get(),
                   c, way.c.get(), &way.found.algorithm, workspace, way.found.workspace, current_stream()),
        "multiply");
  }

 private:
  Held layout(const Layout& layout) const {
    void* made;
    const Functions& f = library_.functions;
    const auto rows = static_cast<uint64_t>(layout.rows), columns = static_cast<uint64_t>(layout.columns);
    check(f, f.create_layout(&made, float32, rows, columns, layout.leading), "describe a matrix");
    return Held(made, f.destroy_layout);
  }

  Way choose(const Shape& s) const {
    const Functions& f = library_.functions;
    void *descriptor, *preference;
    const int compute = s.precision == Precision::tf32 ? compute_tf32 : compute_bf16;
    check(f, f.create_descriptor(&descriptor, compute, float32), "describe a product");
    Way way{{descriptor, f.destroy_descriptor},
            layout(s.b_along_k ? Layout{s.k, s.n, s.b_leading} : Layout{s.n, s.k, s.b_leading}),
            layout(s.a_along_k ? Layout{s.k, s.m, s.a_leading} : Layout{s.m, s.k, s.a_leading}),
            layout({s.n, s.m, s.c_row}),
            {}};
    auto describe = [&](int attribute, int value) {
      check(f, f.set_descriptor(descriptor, attribute, &value, sizeof(value)), "describe a product");
    };
    describe(transpose_a, s.b_along_k ? transposed : not_transposed);
    describe(transpose_b, s.a_along_k ? not_transposed : transposed);

    check(f, f.create_preference(&preference), "choose an algorithm");
    const Held held(preference, f.destroy_preference);
    auto prefer = [&](int attribute, auto value) {
      check(f, f.set_preference(preference, attribute, &value, sizeof(value)), "choose an algorithm");
    };
    auto align = [&](int attribute, bool aligned) { prefer(attribute, uint32_t{aligned ? 16u : 4u}); };
    prefer(most_workspace, most_workspace_bytes);
    align(alignment_a, s.b_aligned), align(alignment_b, s.a_aligned);
    align(alignment_c, s.c_aligned), align(alignment_d, s.c_aligned);
    int count = 0;
    check(f,
          f.find_algorithms(library_.handle, descriptor, way.a.get(), way.b.get(), way.c.get(), way.c.get(), preference,
                            1, &way.found, &count),
          "choose an algorithm");
    if (count == 0) throw DeviceError("[cuda] cuBLASLt has no algorithm for this product");
    check(f, way.found.state, "choose an algorithm");
    return way;
  }

  const Library library_;
  std::mutex mutex_;
  std::map<Shape, Way> ways_;
};

// Never destroyed: the library may be gone by then.
std::mutex loading;
Products* loaded = nullptr;

Products& products() {
  std::lock_guard lock(loading);
  if (!loaded) throw DeviceError("[cuda] products in tf32 and bf16 need cuBLASLt, which has not been loaded");
  return *loaded;
}

}  // namespace

const char* load(const char* file) {
  std::lock_guard lock(loading);
  if (!loaded) loaded = new Products(open(file));
  return loaded->description();
}

int64_t workspace(const Product& p, const void* c, int64_t c_row) {
  return static_cast<int64_t>(products().way_of({p, c, c_row}).found.workspace);
}

void multiply(const Product& p, float* c, int64_t c_row, std::byte* workspace) {
  Products& all = products();
  all.multiply(all.way_of({p, c, c_row}), p.b, p.a, c, workspace);
}

}  // namespace fastnn::cuda::cublaslt
