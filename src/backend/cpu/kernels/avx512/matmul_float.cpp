// Matrix products of float weights (F32, F16, BF16), layout [k][8 rows]: sixteen rows of two groups are the
// lanes, and each output is one chain of fused multiply-adds over ascending k. A chain waits four cycles for
// each addition, so a tile holds eight chains or more: pairs of groups x activation rows. (The BF16 dot
// product instruction rounds differently and is not used.)
#include "backend/cpu/kernels/avx512/kernels.h"
#include "backend/cpu/kernels/avx512/simd.h"

namespace moraine::cpu::avx512 {
namespace {

struct F32 {
  static constexpr int kBytes = 4;
  MORAINE_INLINE static __m512 load16(const Pair& w) { return _mm512_castsi512_ps(load_step(w)); }
};
struct F16 {
  static constexpr int kBytes = 2;
  MORAINE_INLINE static __m512 load16(const Pair& w) { return load_halves(w); }
};
struct BF16 {
  static constexpr int kBytes = 2;
  MORAINE_INLINE static __m512 load16(const Pair& w) {
    const __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(w.w0)), load128(w.w1), 1);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  }
};

// Outputs of kPairs pairs of groups from g, kRows rows from m.
template <class F, int kPairs, int kRows>
MORAINE_INLINE void tile(const MatmulArgs& a, int g, int m) {
  Pair w[kPairs];
  __m512 acc[kPairs][kRows];
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i) {
    w[i] = pair_of(a, g + 2 * i);
#pragma GCC unroll 8
    for (int j = 0; j < kRows; ++j) acc[i][j] = _mm512_setzero_ps();
  }
  const float* x = a.xf + m * a.xf_stride;
  for (int k = 0; k < a.k; ++k) {
    __m512 v[kPairs];
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) v[i] = F::load16(w[i] + int64_t{8} * F::kBytes * k);
#pragma GCC unroll 8
    for (int j = 0; j < kRows; ++j) {
      const __m512 xk = _mm512_set1_ps(x[j * a.xf_stride + k]);
#pragma GCC unroll 4
      for (int i = 0; i < kPairs; ++i) acc[i][j] = _mm512_fmadd_ps(v[i], xk, acc[i][j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kRows; ++j)
      _mm512_mask_storeu_ps(a.y + (m + j) * a.y_stride + 8 * g + 16 * i, w[i].lanes, acc[i][j]);
}

template <class F, int kPairs>
MORAINE_INLINE void rows(const MatmulArgs& a, int g) {
  for_row_tiles<8>(a.n_rows,
                   [&]<int kRows>(int m) __attribute__((always_inline)) { tile<F, kPairs, kRows>(a, g, m); });
}

template <class F>
void matmul(const MatmulArgs& a) {
  int g = 0;
  if (a.n_rows < 4)
    for (; g + 8 <= a.n_groups; g += 8) rows<F, 4>(a, g);
  for (; g < a.n_groups; g += 2) rows<F, 1>(a, g);
}

}  // namespace

void matmul_f32(const MatmulArgs& a) noexcept { matmul<F32>(a); }
void matmul_f16(const MatmulArgs& a) noexcept { matmul<F16>(a); }
void matmul_bf16(const MatmulArgs& a) noexcept { matmul<BF16>(a); }

}  // namespace moraine::cpu::avx512
