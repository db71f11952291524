// The scalar kernels, by file.
#pragma once

#include "backend/cpu/kernels/kernels.h"

namespace moraine::cpu {

void scalar_matmul_table(MatmulFn* table);
void scalar_delta_net_table(Kernels* table);
void scalar_attention_table(Kernels* k);

}  // namespace moraine::cpu
