// exp and fixed reduction trees on eight lanes: the operations of kernels/scalar/math.h, one by one.
#pragma once

#include "backend/cpu/kernels/avx2/simd.h"

namespace moraine::cpu::avx2 {
namespace {

MORAINE_INLINE __m256 constant(float x) { return _mm256_set1_ps(x); }
MORAINE_INLINE __m256 negate(__m256 x) { return _mm256_xor_ps(x, constant(-0.0f)); }
MORAINE_INLINE __m256 magnitude(__m256 x) { return _mm256_andnot_ps(constant(-0.0f), x); }

// exp_spec. max and min give their second operand where one is NaN, as the scalar comparisons do.
MORAINE_INLINE __m256 exp_lanes(__m256 x) {
  const __m256 lowest = constant(-87.33654f);
  const __m256 zero = _mm256_cmp_ps(x, lowest, _CMP_LT_OQ);
  x = _mm256_max_ps(x, lowest);
  x = _mm256_min_ps(x, constant(88.37626f));
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, constant(1.44269504088896341f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fmadd_ps(n, constant(-0.693359375f), x);
  r = _mm256_fmadd_ps(n, constant(2.12194440e-4f), r);
  __m256 p = constant(1.9875691500e-4f);
  p = _mm256_fmadd_ps(p, r, constant(1.3981999507e-3f));
  p = _mm256_fmadd_ps(p, r, constant(8.3334519073e-3f));
  p = _mm256_fmadd_ps(p, r, constant(4.1665795894e-2f));
  p = _mm256_fmadd_ps(p, r, constant(1.6666665459e-1f));
  p = _mm256_fmadd_ps(p, r, constant(5.0000001201e-1f));
  p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), constant(1.0f));
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  const __m256 scale = _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
  return _mm256_andnot_ps(zero, _mm256_mul_ps(p, scale));
}

// tree_sum of eight lanes.
MORAINE_INLINE float tree_sum(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// The largest lane; no lane may be NaN.
MORAINE_INLINE float max_lane(__m256 v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

// Scales x by id and rounds it to int8 in [-127, 127]; a NaN becomes 127. 32 values, in order.
MORAINE_INLINE __m256i quantize_32(const float* x, float id) {
  __m256i v[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    __m256 f = _mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(id));
    f = _mm256_max_ps(_mm256_min_ps(f, constant(127.0f)), constant(-127.0f));
    v[i] = _mm256_cvtps_epi32(f);
  }
  // The packs interleave 128-bit halves: dwords 0 4 1 5 2 6 3 7 are in order.
  const __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
  return _mm256_permutevar8x32_epi32(q, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// max|x| over n values, n a multiple of 32; NaNs are passed over.
MORAINE_INLINE float max_magnitude(const float* x, int n) {
  __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
  for (int i = 0; i < n; i += 32) {
    a = _mm256_max_ps(magnitude(_mm256_loadu_ps(x + i)), a);
    b = _mm256_max_ps(magnitude(_mm256_loadu_ps(x + i + 8)), b);
    c = _mm256_max_ps(magnitude(_mm256_loadu_ps(x + i + 16)), c);
    d = _mm256_max_ps(magnitude(_mm256_loadu_ps(x + i + 24)), d);
  }
  return max_lane(_mm256_max_ps(_mm256_max_ps(a, b), _mm256_max_ps(c, d)));
}

}  // namespace
}  // namespace moraine::cpu::avx2
