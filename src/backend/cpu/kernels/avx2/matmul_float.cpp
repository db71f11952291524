// Matrix products of float weights (F32, F16, BF16), layout [k][8 rows]: the eight rows of a group are the
// eight lanes, and each output is one chain of fused multiply-adds over ascending k. A chain waits four
// cycles for each addition, so a tile holds eight chains or more: groups x activation rows.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/simd.h"
#include "backend/cpu/kernels/row_tiles.h"

namespace moraine::cpu::avx2 {
namespace {

struct F32 {
  static constexpr int kBytes = 4;
  MORAINE_INLINE static __m256 load8(const uint8_t* w) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(w));
  }
};
struct F16 {
  static constexpr int kBytes = 2;
  MORAINE_INLINE static __m256 load8(const uint8_t* w) { return load_halves(w); }
};
struct BF16 {
  static constexpr int kBytes = 2;
  MORAINE_INLINE static __m256 load8(const uint8_t* w) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(w)), 16));
  }
};

// Outputs of kGroups groups from g, kRows rows from m.
template <class F, int kGroups, int kRows>
MORAINE_INLINE void tile(const MatmulArgs& a, int g, int m) {
  const uint8_t* w = a.w + g * a.group_bytes;
  const float* x = a.xf + m * a.xf_stride;
  __m256 acc[kGroups][kRows];
#pragma GCC unroll 4
  for (int i = 0; i < kGroups; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kRows; ++j) acc[i][j] = _mm256_setzero_ps();
  for (int k = 0; k < a.k; ++k, w += 8 * F::kBytes) {
    __m256 v[kGroups];
#pragma GCC unroll 4
    for (int i = 0; i < kGroups; ++i) v[i] = F::load8(w + i * a.group_bytes);
#pragma GCC unroll 4
    for (int j = 0; j < kRows; ++j) {
      const __m256 xk = _mm256_broadcast_ss(x + j * a.xf_stride + k);
#pragma GCC unroll 4
      for (int i = 0; i < kGroups; ++i) acc[i][j] = _mm256_fmadd_ps(v[i], xk, acc[i][j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kGroups; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kRows; ++j) _mm256_storeu_ps(a.y + (m + j) * a.y_stride + 8 * (g + i), acc[i][j]);
}

template <class F, int kGroups>
MORAINE_INLINE void rows(const MatmulArgs& a, int g) {
  for_row_tiles<4>(
      a.n_rows, [&]<int kRows>(int m) __attribute__((always_inline)) { tile<F, kGroups, kRows>(a, g, m); });
}

template <class F>
void matmul(const MatmulArgs& a) {
  int g = 0;
  if (a.n_rows < 3)
    for (; g + 4 <= a.n_groups; g += 4) rows<F, 4>(a, g);
  for (; g + 2 <= a.n_groups; g += 2) rows<F, 2>(a, g);
  for (; g < a.n_groups; ++g) rows<F, 1>(a, g);
}

}  // namespace

void matmul_f32(const MatmulArgs& a) noexcept { matmul<F32>(a); }
void matmul_f16(const MatmulArgs& a) noexcept { matmul<F16>(a); }
void matmul_bf16(const MatmulArgs& a) noexcept { matmul<BF16>(a); }

}  // namespace moraine::cpu::avx2
