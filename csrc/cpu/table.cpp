// Collects the kernels of this compilation. Filled at run time, so that no object of a higher instruction set has an
// initialiser that would run on a CPU without it.
#include "cpu/vec.h"
#include "kernels/kernels.h"

#define FASTNN_TEXT_OF(name) #name
#define FASTNN_TEXT(name) FASTNN_TEXT_OF(name)

namespace fastnn::FASTNN_ISA {

void register_product(KernelTable&);
void register_arithmetic(KernelTable&);
void register_transcendental(KernelTable&);
void register_activation(KernelTable&);
void register_reduction(KernelTable&);
void register_softmax(KernelTable&);
void register_loss(KernelTable&);
void register_update(KernelTable&);
void register_indexing(KernelTable&);
void register_random(KernelTable&);

void fill_table(KernelTable& table) {
  table.isa = FASTNN_TEXT(FASTNN_ISA);
  table.vector_bytes = vector_bytes;
  table.fused_multiply_add = has_fma;
  register_product(table);
  register_arithmetic(table);
  register_transcendental(table);
  register_activation(table);
  register_reduction(table);
  register_softmax(table);
  register_loss(table);
  register_update(table);
  register_indexing(table);
  register_random(table);
}

}  // namespace fastnn::FASTNN_ISA
