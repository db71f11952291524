// Gated DeltaNet's pieces on eight lanes: the operations of kernels/scalar/delta_net.cpp, one by one. A tile
// of the state is two vectors wide and stays in the first-level cache from token to token.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/math.h"

namespace moraine::cpu::avx2 {
namespace {

static_assert(kDeltaTile == 16);

struct Pair {
  __m256 low, high;
};

// The sums of a tile's two vectors over four interleaved partial sums.
MORAINE_INLINE Pair total(const __m256* low, const __m256* high) {
  return {_mm256_add_ps(_mm256_add_ps(low[0], low[1]), _mm256_add_ps(low[2], low[3])),
          _mm256_add_ps(_mm256_add_ps(high[0], high[1]), _mm256_add_ps(high[2], high[3]))};
}

MORAINE_INLINE void clear(__m256* sums) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) sums[j] = _mm256_setzero_ps();
}

}  // namespace

void conv_silu(const float* const* x, const float* taps, int32_t taps_stride, int32_t n_taps, int32_t n,
               float* y) noexcept {
  for (int32_t c = 0; c < n; c += 8) {
    const __m256i mask = first_lanes(n - c < 8 ? n - c : 8);
    __m256 a = _mm256_setzero_ps();
    for (int32_t i = 0; i < n_taps; ++i)
      a = _mm256_fmadd_ps(_mm256_maskload_ps(taps + int64_t{i} * taps_stride + c, mask),
                          _mm256_maskload_ps(x[i] + c, mask), a);
    const __m256 e = exp_lanes(negate(a));
    _mm256_maskstore_ps(y + c, mask, _mm256_div_ps(a, _mm256_add_ps(constant(1.0f), e)));
  }
}

void l2_norm(float* x, int32_t n, float eps, float scale) noexcept {
  __m256 low = _mm256_setzero_ps(), high = low;  // lanes 0-7 and 8-15 of sixteen
  for (int32_t i = 0; i < n; i += 16) {
    const int rest = n - i;
    const __m256 a = _mm256_maskload_ps(x + i, first_lanes(rest < 8 ? rest : 8));
    low = _mm256_fmadd_ps(a, a, low);
    if (rest > 8) {
      const __m256 b = _mm256_maskload_ps(x + i + 8, first_lanes(rest < 16 ? rest - 8 : 8));
      high = _mm256_fmadd_ps(b, b, high);
    }
  }
  const float sum = tree_sum(_mm256_add_ps(low, high)) + eps;
  const __m256 norm = _mm256_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(sum))));
  for (int32_t i = 0; i < n; i += 8) {
    const __m256i mask = first_lanes(n - i < 8 ? n - i : 8);
    const __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), norm);
    _mm256_maskstore_ps(x + i, mask, _mm256_mul_ps(v, _mm256_set1_ps(scale)));
  }
}

void delta_tile(const DeltaArgs& a) noexcept {
  for (int32_t t = 0; t < a.n_tokens; ++t) {
    const float *q = a.q + t * a.qk_stride, *k = a.k + t * a.qk_stride, *v = a.v + t * a.v_stride;
    float* o = a.o + t * a.o_stride;
    const __m256 decay = _mm256_set1_ps(a.decay[t]), beta = _mm256_set1_ps(a.beta[t]);
    __m256 low[4], high[4];
    clear(low);
    clear(high);
    for (int32_t c = 0; c < a.head_k; c += 4) {
      const float* s = a.s + c * kDeltaTile;
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const __m256 x = _mm256_broadcast_ss(k + c + j);
        low[j] = _mm256_fmadd_ps(_mm256_loadu_ps(s + 16 * j), x, low[j]);
        high[j] = _mm256_fmadd_ps(_mm256_loadu_ps(s + 16 * j + 8), x, high[j]);
      }
    }
    const Pair known = total(low, high);
    const __m256 u_low = _mm256_mul_ps(beta, _mm256_fnmadd_ps(decay, known.low, _mm256_loadu_ps(v)));
    const __m256 u_high = _mm256_mul_ps(beta, _mm256_fnmadd_ps(decay, known.high, _mm256_loadu_ps(v + 8)));
    clear(low);
    clear(high);
    for (int32_t c = 0; c < a.head_k; c += 4) {
      float* s = a.s + c * kDeltaTile;
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const __m256 x = _mm256_broadcast_ss(k + c + j), y = _mm256_broadcast_ss(q + c + j);
        const __m256 s_low = _mm256_fmadd_ps(u_low, x, _mm256_mul_ps(decay, _mm256_loadu_ps(s + 16 * j)));
        const __m256 s_high =
            _mm256_fmadd_ps(u_high, x, _mm256_mul_ps(decay, _mm256_loadu_ps(s + 16 * j + 8)));
        _mm256_storeu_ps(s + 16 * j, s_low);
        _mm256_storeu_ps(s + 16 * j + 8, s_high);
        low[j] = _mm256_fmadd_ps(s_low, y, low[j]);
        high[j] = _mm256_fmadd_ps(s_high, y, high[j]);
      }
    }
    const Pair out = total(low, high);
    _mm256_storeu_ps(o, out.low);
    _mm256_storeu_ps(o + 8, out.high);
  }
}

}  // namespace moraine::cpu::avx2
