// The table of AMX kernels. Compiled for every x86-64: only the kernels' own files use tiles.
#include "backend/cpu/kernels/amx/kernels.h"

namespace moraine::cpu {

const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels k = avx512_kernels();
    k.isa = "amx";
    k.probes.int8 = amx::probe_int8;
    k.matmul[2] = amx::matmul_q4_0;
    k.matmul[3] = amx::matmul_q4_1;
    k.matmul[6] = amx::matmul_q5_0;
    k.matmul[7] = amx::matmul_q5_1;
    k.matmul[8] = amx::matmul_q8_0;
    k.matmul[10] = amx::matmul_q2_k;
    k.matmul[11] = amx::matmul_q3_k;
    k.matmul[12] = amx::matmul_q4_k;
    k.matmul[13] = amx::matmul_q5_k;
    k.matmul[14] = amx::matmul_q6_k;
    k.matmul[20] = amx::matmul_iq4_nl;
    k.matmul[23] = amx::matmul_iq4_xs;
    k.matmul[39] = amx::matmul_mxfp4;
    return k;
  }();
  return table;
}

}  // namespace moraine::cpu
