// A stand-in for cuBLASLt: what fastnn uses of it, on the emulated device. It rounds factors to the precision that is
// asked for, to nearest, and is strict: descriptors have to fit each other, and memory what has been said of it.
//
// What runs is enqueued on the stream, so that a graph captures it. The rest is counted: tests ask standin_calls().
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cuda/cublaslt_api.h"
#include "cuda_runtime.h"

using namespace fastnn::cuda::cublaslt;

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr Status invalid = 7;
constexpr size_t workspace_bytes = 1000;

std::map<std::string, int64_t> calls;
std::string failing;  // the function that fails next, and how
Status failure = success;

Status counted(const char* function) {
  ++calls[function];
  if (failing != function) return success;
  failing.clear();
  return failure;
}

struct Layout {
  int64_t rows, columns, leading;
  bool operator==(const Layout&) const = default;
};
struct Descriptor {
  int compute, transpositions[2];
};
struct Preference {
  uint64_t most_workspace;
  uint32_t alignments[4];  // of a, b, c, d
};
// What an algorithm was chosen for; an Algorithm holds its number.
struct Choice {
  Descriptor* descriptor;
  Layout a, b, c;
  uint32_t alignments[4];
};
std::vector<Choice> choices;
std::set<void*> alive;

template <class T>
Status create(const char* function, void** place, T value) {
  if (Status status = counted(function); status != success) return status;
  *place = new T(value);
  alive.insert(*place);
  return success;
}

template <class T>
Status destroy(const char* function, void* thing) {
  if (alive.erase(thing) == 0) return invalid;
  delete static_cast<T*>(thing);
  return counted(function);
}

// The sides of a factor once it is transposed as it shall be.
Layout sides(const Layout& layout, int transposition) {
  return transposition == transposed ? Layout{layout.columns, layout.rows, 0} : Layout{layout.rows, layout.columns, 0};
}

bool fit(const Descriptor& descriptor, const Layout& a, const Layout& b, const Layout& c) {
  const Layout left = sides(a, descriptor.transpositions[0]), right = sides(b, descriptor.transpositions[1]);
  return left.rows == c.rows && right.columns == c.columns && left.columns == right.rows;
}

// To so many bits behind the first, ties to even; infinities and NaN stay.
float rounded(float value, int bits) {
  uint32_t word;
  std::memcpy(&word, &value, 4);
  if ((word & 0x7F800000) == 0x7F800000) return value;
  const int dropped = 23 - bits;
  word += (uint32_t{1} << (dropped - 1)) - 1 + (word >> dropped & 1);
  word &= ~uint32_t{0} << dropped;
  std::memcpy(&value, &word, 4);
  return value;
}

}  // namespace

// How often a function has been called, by its name without cublasLt.
EXPORT int64_t standin_calls(const char* function) { return calls[function]; }
// The next call of `function` gives `status`; of MatmulAlgoGetHeuristic, success stands for no algorithm.
EXPORT void standin_fail(const char* function, Status status) { failing = function, failure = status; }

EXPORT size_t cublasLtGetVersion() { return 130105; }
EXPORT const char* cublasLtGetStatusString(Status status) {
  return status == invalid ? "an invalid value" : status == allocation_failed ? "no memory" : "not supported";
}
EXPORT Status cublasLtCreate(void** handle) {
  *handle = nullptr;
  return counted("Create");
}
EXPORT Status cublasLtMatmulDescCreate(void** descriptor, int compute, int scale) {
  if (scale != float32 || (compute != compute_tf32 && compute != compute_bf16)) return invalid;
  return create("MatmulDescCreate", descriptor, Descriptor{compute, {not_transposed, not_transposed}});
}
EXPORT Status cublasLtMatmulDescSetAttribute(void* descriptor, int attribute, const void* value, size_t bytes) {
  if ((attribute != transpose_a && attribute != transpose_b) || bytes != sizeof(int)) return invalid;
  std::memcpy(&static_cast<Descriptor*>(descriptor)->transpositions[attribute - transpose_a], value, bytes);
  return counted("MatmulDescSetAttribute");
}
EXPORT Status cublasLtMatmulDescDestroy(void* descriptor) {
  return destroy<Descriptor>("MatmulDescDestroy", descriptor);
}
EXPORT Status cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  const Layout made{static_cast<int64_t>(rows), static_cast<int64_t>(columns), leading};
  if (type != float32 || made.rows < 1 || made.columns < 1 || leading < made.rows) return invalid;
  return create("MatrixLayoutCreate", layout, made);
}
EXPORT Status cublasLtMatrixLayoutDestroy(void* layout) { return destroy<Layout>("MatrixLayoutDestroy", layout); }
EXPORT Status cublasLtMatmulPreferenceCreate(void** preference) {
  return create("MatmulPreferenceCreate", preference, Preference{0, {256, 256, 256, 256}});
}
EXPORT Status cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value, size_t bytes) {
  auto* to = static_cast<Preference*>(preference);
  void* place = attribute == most_workspace ? static_cast<void*>(&to->most_workspace) : nullptr;
  if (attribute >= alignment_a && attribute <= alignment_d) place = &to->alignments[attribute - alignment_a];
  if (!place || bytes != (attribute == most_workspace ? sizeof(uint64_t) : sizeof(uint32_t))) return invalid;
  std::memcpy(place, value, bytes);
  return counted("MatmulPreferenceSetAttribute");
}
EXPORT Status cublasLtMatmulPreferenceDestroy(void* preference) {
  return destroy<Preference>("MatmulPreferenceDestroy", preference);
}
EXPORT Status cublasLtMatmulAlgoGetHeuristic(void*, void* descriptor, void* a, void* b, void* c, void* d,
                                             void* preference, int wanted, Found* found, int* count) {
  auto* how = static_cast<Descriptor*>(descriptor);
  const Layout &of_a = *static_cast<Layout*>(a), &of_b = *static_cast<Layout*>(b), &of_c = *static_cast<Layout*>(c);
  const auto& preferred = *static_cast<Preference*>(preference);
  if (wanted < 1 || !fit(*how, of_a, of_b, of_c) || !(of_c == *static_cast<Layout*>(d))) return invalid;
  if (preferred.most_workspace < workspace_bytes) return invalid;
  const bool finds_none = failing == "MatmulAlgoGetHeuristic" && failure == success;
  *count = finds_none ? 0 : 1;
  *found = {{{choices.size()}}, workspace_bytes, success, 1, {}};
  choices.push_back({how, of_a, of_b, of_c, {}});
  std::copy_n(preferred.alignments, 4, choices.back().alignments);
  return counted("MatmulAlgoGetHeuristic");
}
EXPORT Status cublasLtMatmul(void*, void* descriptor, const void* alpha, const void* a, void* of_a, const void* b,
                             void* of_b, const void* beta, const void* c, void* of_c, void* d, void* of_d,
                             const Algorithm* algorithm, void* workspace, size_t bytes, void* stream) {
  if (algorithm->data[0] >= choices.size()) return invalid;
  const Choice& choice = choices[algorithm->data[0]];
  const bool same = choice.descriptor == descriptor && choice.a == *static_cast<Layout*>(of_a) &&
                    choice.b == *static_cast<Layout*>(of_b) && choice.c == *static_cast<Layout*>(of_c) && of_c == of_d;
  if (!same || bytes < workspace_bytes || reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return invalid;
  const void* places[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (reinterpret_cast<uintptr_t>(places[i]) % choice.alignments[i] != 0) return invalid;
  if (*static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0) return invalid;
  if (Status status = counted("Matmul"); status != success) return status;

  const Descriptor how = *choice.descriptor;
  const Layout la = choice.a, lb = choice.b, lc = choice.c;
  static_cast<cudaStream_t>(stream)->enqueue(static_cast<cudaStream_t>(stream), [=] {
    std::memset(workspace, 0xFF, workspace_bytes);
    const int bits = how.compute == compute_tf32 ? 10 : 7;
    auto element = [bits](const void* from, const Layout& layout, int transposition, int64_t row, int64_t column) {
      if (transposition == transposed) std::swap(row, column);
      return rounded(static_cast<const float*>(from)[row + column * layout.leading], bits);
    };
    const int64_t depth = sides(la, how.transpositions[0]).columns;
    for (int64_t column = 0; column < lc.columns; ++column) {
      for (int64_t row = 0; row < lc.rows; ++row) {
        float sum = 0;
        for (int64_t k = 0; k < depth; ++k)
          sum = std::fma(element(a, la, how.transpositions[0], row, k),
                         element(b, lb, how.transpositions[1], k, column), sum);
        static_cast<float*>(d)[row + column * lc.leading] = sum;
      }
    }
  });
  return success;
}
