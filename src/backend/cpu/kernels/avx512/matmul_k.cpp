// Matrix products of Q4_K, Q5_K and Q6_K. The loops: matmul_k.h; the formats: block256.h.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx512/kernels.h"
#include "backend/cpu/kernels/avx512/matmul_k.h"

namespace moraine::cpu::avx512 {

void matmul_q4_k(const MatmulArgs& a) noexcept { matmul<Q4_K, avx2::matmul_q4_k>(a); }
void matmul_q5_k(const MatmulArgs& a) noexcept { matmul<Q5_K, avx2::matmul_q5_k>(a); }
void matmul_q6_k(const MatmulArgs& a) noexcept { matmul<Q6_K, avx2::matmul_q6_k>(a); }

}  // namespace moraine::cpu::avx512
