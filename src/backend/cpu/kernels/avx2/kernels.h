// The AVX2 kernels, by name, for table.cpp. Each is defined in the file of its family:
// matmul_block32.cpp, matmul_k.cpp, matmul_k23.cpp, matmul_codebook.cpp, matmul_iq4_xs.cpp, matmul_float.cpp,
// rows.cpp, attention.cpp, attention_store.cpp, delta_net.cpp.
#pragma once

#include "backend/cpu/kernels/kernels.h"

namespace moraine::cpu::avx2 {

int64_t probe_int8(int64_t repetitions) noexcept;
int64_t probe_float(int64_t repetitions) noexcept;
void probe_read(const uint8_t* data, int64_t n) noexcept;

void matmul_f32(const MatmulArgs& a) noexcept;
void matmul_f16(const MatmulArgs& a) noexcept;
void matmul_bf16(const MatmulArgs& a) noexcept;
void matmul_q4_0(const MatmulArgs& a) noexcept;
void matmul_q4_1(const MatmulArgs& a) noexcept;
void matmul_q5_0(const MatmulArgs& a) noexcept;
void matmul_q5_1(const MatmulArgs& a) noexcept;
void matmul_q8_0(const MatmulArgs& a) noexcept;
void matmul_q2_k(const MatmulArgs& a) noexcept;
void matmul_q3_k(const MatmulArgs& a) noexcept;
void matmul_q4_k(const MatmulArgs& a) noexcept;
void matmul_q5_k(const MatmulArgs& a) noexcept;
void matmul_q6_k(const MatmulArgs& a) noexcept;
void matmul_iq4_nl(const MatmulArgs& a) noexcept;
void matmul_iq4_xs(const MatmulArgs& a) noexcept;
void matmul_mxfp4(const MatmulArgs& a) noexcept;

void quantize32(const float* x, int32_t k, int8_t* q, float* d, int16_t* sums) noexcept;
void quantize256(const float* x, int32_t k, int8_t* q, float* d, int16_t* sums) noexcept;
void rms_norm(const float* x, const float* w, int32_t n, float eps, float* y) noexcept;
void add(float* y, const float* x, int32_t n) noexcept;
void add_scaled(float* y, const float* x, float s, int32_t n) noexcept;
void silu_mul(float* gate, const float* up, int32_t n) noexcept;
void gelu_tanh_mul(float* gate, const float* up, int32_t n) noexcept;
void silu_gate(float* y, const float* g, int32_t n, int32_t g_step) noexcept;
void sigmoid_gate(float* y, const float* g, int32_t n, int32_t g_step) noexcept;
void rope(float* x, const float* cos, const float* sin, int32_t n_pairs, int kind) noexcept;

void store_k_f16(const float* x, int32_t head_dim, int32_t slot, uint8_t* page_head) noexcept;
void store_v_f16(const float* x, int32_t head_dim, int32_t slot, uint8_t* page_head) noexcept;
void store_k_q8_0(const float* x, int32_t head_dim, int32_t slot, uint8_t* page_head) noexcept;
void store_v_q8_0(const float* x, int32_t head_dim, int32_t slot, uint8_t* page_head) noexcept;
void rotate32(float* x, int32_t n) noexcept;
void store_k_q4_0(const float* x, int32_t head_dim, int32_t slot, uint8_t* page_head) noexcept;
void store_v_q4_0(const float* x, int32_t head_dim, int32_t slot, uint8_t* page_head) noexcept;
void attend_f16_f16(const AttendArgs& a) noexcept;
void attend_f16_q8_0(const AttendArgs& a) noexcept;
void attend_f16_q4_0(const AttendArgs& a) noexcept;
void attend_q8_0_f16(const AttendArgs& a) noexcept;
void attend_q8_0_q8_0(const AttendArgs& a) noexcept;
void attend_q8_0_q4_0(const AttendArgs& a) noexcept;
void attend_q4_0_f16(const AttendArgs& a) noexcept;
void attend_q4_0_q8_0(const AttendArgs& a) noexcept;
void attend_q4_0_q4_0(const AttendArgs& a) noexcept;

void conv_silu(const float* const* x, const float* taps, int32_t taps_stride, int32_t n_taps, int32_t n,
               float* y) noexcept;
void l2_norm(float* x, int32_t n, float eps, float scale) noexcept;
void delta_tile(const DeltaArgs& a) noexcept;

}  // namespace moraine::cpu::avx2
