// csrc/cuda/cublaslt_api.h beside NVIDIA's own header, where that is installed: nothing of this runs.
#include <cublasLt.h>

#include <type_traits>

#include "cuda/cublaslt_api.h"

namespace {

namespace ours = fastnn::cuda::cublaslt;

// Enumerations and pointers to what is the library's own are passed like integers and pointers.
template <class Ours, class Theirs>
constexpr bool same_kind() {
  if constexpr (std::is_pointer_v<Ours>) return std::is_pointer_v<Theirs>;
  else return sizeof(Ours) == sizeof(Theirs) && !std::is_pointer_v<Theirs> && !std::is_floating_point_v<Theirs>;
}

template <class Result, class... Parameters, class TheirResult, class... TheirParameters>
constexpr bool same_call(Result (*)(Parameters...), TheirResult (*)(TheirParameters...)) {
  if constexpr (sizeof...(Parameters) != sizeof...(TheirParameters)) return false;
  else return same_kind<Result, TheirResult>() && (same_kind<Parameters, TheirParameters>() && ...);
}

constexpr ours::Functions declared{};
#define FASTNN_COMPARE(function, name) \
  static_assert(same_call(decltype(declared.function)(nullptr), decltype (&name)(nullptr)), #name);
FASTNN_CUBLASLT_FUNCTIONS(FASTNN_COMPARE)
#undef FASTNN_COMPARE

static_assert(ours::success == CUBLAS_STATUS_SUCCESS && ours::allocation_failed == CUBLAS_STATUS_ALLOC_FAILED);
static_assert(ours::float32 == CUDA_R_32F);
static_assert(ours::compute_tf32 == CUBLAS_COMPUTE_32F_FAST_TF32 && ours::compute_bf16 == CUBLAS_COMPUTE_32F_FAST_16BF);
static_assert(ours::not_transposed == CUBLAS_OP_N && ours::transposed == CUBLAS_OP_T);
static_assert(ours::transpose_a == CUBLASLT_MATMUL_DESC_TRANSA && ours::transpose_b == CUBLASLT_MATMUL_DESC_TRANSB);
static_assert(ours::most_workspace == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(ours::alignment_a == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
static_assert(ours::alignment_b == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
static_assert(ours::alignment_c == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
static_assert(ours::alignment_d == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);

static_assert(sizeof(ours::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(ours::Found) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(ours::Found, workspace) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(ours::Found, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));

}  // namespace
