// Products of float32 whose factors are rounded to tf32 or bf16, by cuBLASLt: tensor cores are its field.
//
// It is loaded at run time. For each shape, descriptors are made and an algorithm is chosen once. It makes the product
// alone: so a step has the same bits whether it is fused or not.
#pragma once

#include "kernels/kernels.h"

namespace fastnn::cuda::cublaslt {

// Takes the library into use, unless one is; gives its name and version. Throws DeviceError where it cannot be loaded.
const char* load(const char* file);

// Bytes that a product into c takes, aligned to 256. Chooses the algorithm, so that multiply() need not. `c` null
// stands for memory that is aligned to 256.
int64_t workspace(const Product& p, const void* c, int64_t c_row);

// Enqueues c = a b; nothing else of p counts but its precision. m, n and k are at least 1.
void multiply(const Product& p, float* c, int64_t c_row, std::byte* workspace);

}  // namespace fastnn::cuda::cublaslt
