// The table of AVX-512 kernels. Compiled for every x86-64: only the kernels' own files use AVX-512.
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu {

const Kernels& avx512_kernels() {
  static const Kernels table = [] {
    Kernels k = avx2_kernels();
    k.isa = "avx512";
    k.probes.int8 = avx512::probe_int8;
    k.probes.float32 = avx512::probe_float;
    k.matmul[0] = avx512::matmul_f32;
    k.matmul[1] = avx512::matmul_f16;
    k.matmul[30] = avx512::matmul_bf16;
    k.matmul[2] = avx512::matmul_q4_0;
    k.matmul[3] = avx512::matmul_q4_1;
    k.matmul[6] = avx512::matmul_q5_0;
    k.matmul[7] = avx512::matmul_q5_1;
    k.matmul[8] = avx512::matmul_q8_0;
    k.matmul[10] = avx512::matmul_q2_k;
    k.matmul[11] = avx512::matmul_q3_k;
    k.matmul[12] = avx512::matmul_q4_k;
    k.matmul[13] = avx512::matmul_q5_k;
    k.matmul[14] = avx512::matmul_q6_k;
    k.matmul[20] = avx512::matmul_iq4_nl;
    k.matmul[23] = avx512::matmul_iq4_xs;
    k.matmul[39] = avx512::matmul_mxfp4;
    k.delta_tile = avx512::delta_tile;
    k.attend[kKvF16][kKvF16] = avx512::attend_f16_f16;
    k.attend[kKvF16][kKvQ8_0] = avx512::attend_f16_q8_0;
    k.attend[kKvF16][kKvQ4_0] = avx512::attend_f16_q4_0;
    k.attend[kKvQ8_0][kKvF16] = avx512::attend_q8_0_f16;
    k.attend[kKvQ8_0][kKvQ8_0] = avx512::attend_q8_0_q8_0;
    k.attend[kKvQ8_0][kKvQ4_0] = avx512::attend_q8_0_q4_0;
    k.attend[kKvQ4_0][kKvF16] = avx512::attend_q4_0_f16;
    k.attend[kKvQ4_0][kKvQ8_0] = avx512::attend_q4_0_q8_0;
    k.attend[kKvQ4_0][kKvQ4_0] = avx512::attend_q4_0_q4_0;
    return k;
  }();
  return table;
}

}  // namespace moraine::cpu
