// exp and fixed reduction trees: the operations of kernels/scalar/math.h, one by one, on sixteen lanes. Sums
// that the specification keeps in eight lanes stay eight lanes wide.
#pragma once

#include "backend/cpu/kernels/avx512/simd.h"

namespace moraine::cpu::avx512 {
namespace {

MORAINE_INLINE __m512 constant(float x) { return _mm512_set1_ps(x); }
MORAINE_INLINE __m512 negate(__m512 x) { return _mm512_xor_ps(x, constant(-0.0f)); }

// Lanes 0..n-1; 0 <= n <= 16.
MORAINE_INLINE __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1); }

// exp_spec. max and min give their second operand where one is NaN, as the scalar comparisons do.
MORAINE_INLINE __m512 exp_lanes(__m512 x) {
  const __m512 lowest = constant(-87.33654f);
  const __mmask16 zero = _mm512_cmp_ps_mask(x, lowest, _CMP_LT_OQ);
  x = _mm512_max_ps(x, lowest);
  x = _mm512_min_ps(x, constant(88.37626f));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, constant(1.44269504088896341f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fmadd_ps(n, constant(-0.693359375f), x);
  r = _mm512_fmadd_ps(n, constant(2.12194440e-4f), r);
  __m512 p = constant(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, constant(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, constant(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, constant(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, constant(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, constant(5.0000001201e-1f));
  p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), constant(1.0f));
  const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
  const __m512 scale = _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
  return _mm512_maskz_mov_ps(static_cast<__mmask16>(~zero), _mm512_mul_ps(p, scale));
}

MORAINE_INLINE __m256 low_half(__m512 v) { return _mm512_castps512_ps256(v); }
MORAINE_INLINE __m256 high_half(__m512 v) { return _mm512_extractf32x8_ps(v, 1); }

// tree_sum of eight lanes.
MORAINE_INLINE float tree_sum(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// The largest lane; no lane may be NaN.
MORAINE_INLINE float max_lane(__m512 v) {
  const __m256 h = _mm256_max_ps(low_half(v), high_half(v));
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

}  // namespace
}  // namespace moraine::cpu::avx512
