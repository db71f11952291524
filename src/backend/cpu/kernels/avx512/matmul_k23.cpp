// Matrix products of Q2_K, Q3_K and IQ4_XS. The loops: matmul_k.h; the formats: block256.h.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx512/kernels.h"
#include "backend/cpu/kernels/avx512/matmul_k.h"

namespace moraine::cpu::avx512 {

// One row of Q3_K and IQ4_XS is bound by unpacking, which sixteen lanes do faster than AVX2's eight.
void matmul_q2_k(const MatmulArgs& a) noexcept { matmul<Q2_K, avx2::matmul_q2_k>(a); }
void matmul_q3_k(const MatmulArgs& a) noexcept { matmul<Q3_K>(a); }
void matmul_iq4_xs(const MatmulArgs& a) noexcept { matmul<IQ4_XS>(a); }

}  // namespace moraine::cpu::avx512
