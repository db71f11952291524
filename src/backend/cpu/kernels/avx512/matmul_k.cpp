// Matrix products of Q4_K, Q5_K and Q6_K. The loops: matmul_k.h; the formats: block256.h.
#include "backend/cpu/kernels/avx512/matmul_k.h"
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::avx512 {

void matmul_q4_k(const MatmulArgs& a) noexcept { matmul<Q4_K>(a); }
void matmul_q5_k(const MatmulArgs& a) noexcept { matmul<Q5_K>(a); }
void matmul_q6_k(const MatmulArgs& a) noexcept { matmul<Q6_K>(a); }

}  // namespace moraine::cpu::avx512
