// The kernels that use AMX's int8 tiles, by name, for table.cpp; matmul_k.cpp and matmul_block32.cpp. What is
// not here is AVX-512's.
#pragma once

#include "backend/cpu/kernels/kernels.h"

namespace moraine::cpu::amx {

int64_t probe_int8(int64_t repetitions) noexcept;

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

}  // namespace moraine::cpu::amx
