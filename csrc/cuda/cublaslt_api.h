// What fastnn uses of cuBLASLt, declared here, because its headers are not needed to build: of versions 12 and 13.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastnn::cuda::cublaslt {

using Status = int;
inline constexpr Status success = 0, allocation_failed = 3;

inline constexpr int float32 = 0;                           // CUDA_R_32F
inline constexpr int compute_tf32 = 77, compute_bf16 = 75;  // CUBLAS_COMPUTE_32F_FAST_TF32, _16BF
inline constexpr int not_transposed = 0, transposed = 1;    // CUBLAS_OP_N, CUBLAS_OP_T

// Of CUBLASLT_MATMUL_DESC_ and CUBLASLT_MATMUL_PREF_.
inline constexpr int transpose_a = 3, transpose_b = 4;
inline constexpr int most_workspace = 1, alignment_a = 5, alignment_b = 6, alignment_c = 7, alignment_d = 8;

struct Algorithm {
  uint64_t data[8];
};
struct Found {
  Algorithm algorithm;
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

// Handles, descriptors, layouts and preferences are pointers to what is the library's own.
struct Functions {
  size_t (*get_version)();
  const char* (*get_status_string)(Status);
  Status (*create)(void** handle);
  Status (*create_descriptor)(void** descriptor, int compute, int scale);
  Status (*set_descriptor)(void* descriptor, int attribute, const void* value, size_t bytes);
  Status (*destroy_descriptor)(void* descriptor);
  Status (*create_layout)(void** layout, int type, uint64_t rows, uint64_t columns, int64_t leading);
  Status (*destroy_layout)(void* layout);
  Status (*create_preference)(void** preference);
  Status (*set_preference)(void* preference, int attribute, const void* value, size_t bytes);
  Status (*destroy_preference)(void* preference);
  Status (*find_algorithms)(void* handle, void* descriptor, void* a, void* b, void* c, void* d, void* preference,
                            int wanted, Found* found, int* count);
  Status (*multiply)(void* handle, void* descriptor, const void* alpha, const void* a, void* of_a, const void* b,
                     void* of_b, const void* beta, const void* c, void* of_c, void* d, void* of_d,
                     const Algorithm* algorithm, void* workspace, size_t workspace_bytes, void* stream);
};

// Calls use(function, its name in the library).
#define FASTNN_CUBLASLT_FUNCTIONS(use)                                                                                \
  use(get_version, cublasLtGetVersion) use(get_status_string, cublasLtGetStatusString) use(create, cublasLtCreate)    \
      use(create_descriptor, cublasLtMatmulDescCreate) use(set_descriptor, cublasLtMatmulDescSetAttribute)            \
          use(destroy_descriptor, cublasLtMatmulDescDestroy) use(create_layout, cublasLtMatrixLayoutCreate)           \
              use(destroy_layout, cublasLtMatrixLayoutDestroy) use(create_preference, cublasLtMatmulPreferenceCreate) \
                  use(set_preference, cublasLtMatmulPreferenceSetAttribute)                                           \
                      use(destroy_preference, cublasLtMatmulPreferenceDestroy)                                        \
                          use(find_algorithms, cublasLtMatmulAlgoGetHeuristic) use(multiply, cublasLtMatmul)

}  // namespace fastnn::cuda::cublaslt
