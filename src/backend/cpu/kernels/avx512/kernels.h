// The AVX-512 kernels, by name, for table.cpp. Each is defined in the file of its family: matmul_block32.cpp,
// matmul_k.cpp, matmul_k23.cpp, matmul_float.cpp, attention.cpp, delta_net.cpp. What is not here is AVX2's.
#pragma once

#include "backend/cpu/kernels/kernels.h"

namespace moraine::cpu::avx512 {

int64_t probe_int8(int64_t repetitions) noexcept;
int64_t probe_float(int64_t repetitions) noexcept;

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

void attend_f16_f16(const AttendArgs& a) noexcept;
void attend_f16_q8_0(const AttendArgs& a) noexcept;
void attend_f16_q4_0(const AttendArgs& a) noexcept;
void attend_q8_0_f16(const AttendArgs& a) noexcept;
void attend_q8_0_q8_0(const AttendArgs& a) noexcept;
void attend_q8_0_q4_0(const AttendArgs& a) noexcept;
void attend_q4_0_f16(const AttendArgs& a) noexcept;
void attend_q4_0_q8_0(const AttendArgs& a) noexcept;
void attend_q4_0_q4_0(const AttendArgs& a) noexcept;
void delta_tile(const DeltaArgs& a) noexcept;

}  // namespace moraine::cpu::avx512
