// The table of AVX2 kernels. Compiled for every x86-64: only the kernels' own files use AVX2.
#include "backend/cpu/kernels/avx2/kernels.h"

namespace moraine::cpu {

const Kernels& avx2_kernels() {
  static const Kernels table = [] {
    Kernels k = {};
    k.isa = "avx2";
    k.probes = {avx2::probe_int8, avx2::probe_float, avx2::probe_read};
    k.matmul[0] = avx2::matmul_f32;
    k.matmul[1] = avx2::matmul_f16;
    k.matmul[30] = avx2::matmul_bf16;
    k.matmul[2] = avx2::matmul_q4_0;
    k.matmul[3] = avx2::matmul_q4_1;
    k.matmul[6] = avx2::matmul_q5_0;
    k.matmul[7] = avx2::matmul_q5_1;
    k.matmul[8] = avx2::matmul_q8_0;
    k.matmul[10] = avx2::matmul_q2_k;
    k.matmul[11] = avx2::matmul_q3_k;
    k.matmul[12] = avx2::matmul_q4_k;
    k.matmul[13] = avx2::matmul_q5_k;
    k.matmul[14] = avx2::matmul_q6_k;
    k.matmul[20] = avx2::matmul_iq4_nl;
    k.matmul[23] = avx2::matmul_iq4_xs;
    k.matmul[39] = avx2::matmul_mxfp4;
    k.quantize32 = avx2::quantize32;
    k.quantize256 = avx2::quantize256;
    k.rms_norm = avx2::rms_norm;
    k.add = avx2::add;
    k.add_scaled = avx2::add_scaled;
    k.silu_mul = avx2::silu_mul;
    k.gelu_tanh_mul = avx2::gelu_tanh_mul;
    k.silu_gate = avx2::silu_gate;
    k.sigmoid_gate = avx2::sigmoid_gate;
    k.rope = avx2::rope;
    k.conv_silu = avx2::conv_silu;
    k.l2_norm = avx2::l2_norm;
    k.delta_tile = avx2::delta_tile;
    k.store_k[kKvF16] = avx2::store_k_f16;
    k.store_k[kKvQ8_0] = avx2::store_k_q8_0;
    k.store_v[kKvF16] = avx2::store_v_f16;
    k.store_v[kKvQ8_0] = avx2::store_v_q8_0;
    k.rotate32 = avx2::rotate32;
    k.store_k[kKvQ4_0] = avx2::store_k_q4_0;
    k.store_v[kKvQ4_0] = avx2::store_v_q4_0;
    k.attend[kKvF16][kKvF16] = avx2::attend_f16_f16;
    k.attend[kKvF16][kKvQ8_0] = avx2::attend_f16_q8_0;
    k.attend[kKvF16][kKvQ4_0] = avx2::attend_f16_q4_0;
    k.attend[kKvQ8_0][kKvF16] = avx2::attend_q8_0_f16;
    k.attend[kKvQ8_0][kKvQ8_0] = avx2::attend_q8_0_q8_0;
    k.attend[kKvQ8_0][kKvQ4_0] = avx2::attend_q8_0_q4_0;
    k.attend[kKvQ4_0][kKvF16] = avx2::attend_q4_0_f16;
    k.attend[kKvQ4_0][kKvQ8_0] = avx2::attend_q4_0_q8_0;
    k.attend[kKvQ4_0][kKvQ4_0] = avx2::attend_q4_0_q4_0;
    return k;
  }();
  return table;
}

}  // namespace moraine::cpu
