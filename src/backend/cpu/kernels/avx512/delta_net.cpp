// The delta rule on sixteen lanes, a tile's rows: the operations of kernels/scalar/delta_net.cpp. A tile of
// the state stays in the first-level cache. While a token's column is written, it is multiplied by the next
// token's key, so that each token reads the state once.
#include "backend/cpu/kernels/avx512/kernels.h"
#include "backend/cpu/kernels/avx512/simd.h"

namespace moraine::cpu::avx512 {
namespace {

static_assert(kDeltaTile == 16);

// The sum over four interleaved partial sums.
MORAINE_INLINE __m512 total(const __m512 sums[4]) {
  return _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
}

MORAINE_INLINE void clear(__m512 sums[4]) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) sums[j] = _mm512_setzero_ps();
}

// One token; known: the state times its key, then the new state times the next token's, if there is one.
template <bool kNext>
MORAINE_INLINE void token(const DeltaArgs& a, int32_t t, __m512 known[4]) {
  const float *q = a.q + t * a.qk_stride, *k = a.k + t * a.qk_stride;
  const __m512 decay = _mm512_set1_ps(a.decay[t]), beta = _mm512_set1_ps(a.beta[t]);
  const __m512 v = _mm512_loadu_ps(a.v + t * a.v_stride);
  const __m512 u = _mm512_mul_ps(beta, _mm512_fnmadd_ps(decay, total(known), v));
  __m512 out[4];
  clear(out);
  clear(known);
  for (int32_t c = 0; c < a.head_k; c += 4) {
    float* s = a.s + c * kDeltaTile;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m512 x = _mm512_fmadd_ps(u, _mm512_set1_ps(k[c + j]),
                                       _mm512_mul_ps(decay, _mm512_loadu_ps(s + kDeltaTile * j)));
      _mm512_storeu_ps(s + kDeltaTile * j, x);
      out[j] = _mm512_fmadd_ps(x, _mm512_set1_ps(q[c + j]), out[j]);
      if constexpr (kNext) known[j] = _mm512_fmadd_ps(x, _mm512_set1_ps(k[a.qk_stride + c + j]), known[j]);
    }
  }
  _mm512_storeu_ps(a.o + t * a.o_stride, total(out));
}

}  // namespace

void delta_tile(const DeltaArgs& a) noexcept {
  if (a.n_tokens == 0) return;
  __m512 known[4];
  clear(known);
  for (int32_t c = 0; c < a.head_k; c += 4)
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      known[j] =
          _mm512_fmadd_ps(_mm512_loadu_ps(a.s + (c + j) * kDeltaTile), _mm512_set1_ps(a.k[c + j]), known[j]);
  for (int32_t t = 0; t + 1 < a.n_tokens; ++t) token<true>(a, t, known);
  token<false>(a, a.n_tokens - 1, known);
}

}  // namespace moraine::cpu::avx512
