// Row-wise kernels: quantisation of activations, norms, activation functions, rope. The float operations
// are those of kernels/scalar/kernels.cpp, value by value.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/math.h"

namespace moraine::cpu::avx2 {
namespace {

template <int kWidth>
MORAINE_INLINE void quantize(const float* x, int32_t k, int8_t* q, float* d, int16_t* sums) {
  for (int32_t b = 0; b < k / kWidth; ++b) {
    const float amax = max_magnitude(x, kWidth);
    d[b] = amax / 127.0f;
    const float id = amax > 0.0f ? 127.0f / amax : 0.0f;
    for (int i = 0; i < kWidth; i += 32, x += 32, q += 32, sums += 2) {
      const __m256i v = quantize_32(x, id);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), v);
      // Sums of 8 bytes each, offset to unsigned.
      const __m256i eight =
          _mm256_sad_epu8(_mm256_xor_si256(v, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
      const __m256i sixteen = _mm256_add_epi64(eight, _mm256_unpackhi_epi64(eight, eight));
      sums[0] = static_cast<int16_t>(_mm256_extract_epi32(sixteen, 0) - 16 * 128);
      sums[1] = static_cast<int16_t>(_mm256_extract_epi32(sixteen, 4) - 16 * 128);
    }
  }
}

// y[i] = f(y[i], x[i]), eight at a time.
template <class F>
MORAINE_INLINE void for_each(float* y, const float* x, int32_t n, F f) {
  int32_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, f(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
  if (i < n) {
    const __m256i mask = first_lanes(n - i);
    _mm256_maskstore_ps(y + i, mask, f(_mm256_maskload_ps(y + i, mask), _mm256_maskload_ps(x + i, mask)));
  }
}

// g / (1 + exp(-x))
MORAINE_INLINE __m256 gated(__m256 g, __m256 x) {
  return _mm256_div_ps(g, _mm256_add_ps(constant(1.0f), exp_lanes(negate(x))));
}

// y *= f(g); step 0: one g for all.
template <class F>
MORAINE_INLINE void gate(float* y, const float* g, int32_t n, int32_t g_step, F f) {
  if (g_step == 0) {
    const __m256 all = f(_mm256_set1_ps(*g));
    for_each(y, y, n, [all](__m256 a, __m256) { return _mm256_mul_ps(a, all); });
  } else {
    for_each(y, g, n, [f](__m256 a, __m256 b) { return _mm256_mul_ps(a, f(b)); });
  }
}

}  // namespace

void quantize32(const float* x, int32_t k, int8_t* q, float* d, int16_t* sums) noexcept {
  quantize<32>(x, k, q, d, sums);
}

void quantize256(const float* x, int32_t k, int8_t* q, float* d, int16_t* sums) noexcept {
  quantize<256>(x, k, q, d, sums);
}

void rms_norm(const float* x, const float* w, int32_t n, float eps, float* y) noexcept {
  __m256 low = _mm256_setzero_ps(), high = low;  // lanes 0-7 and 8-15 of sixteen
  int32_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
    low = _mm256_fmadd_ps(a, a, low);
    high = _mm256_fmadd_ps(b, b, high);
  }
  if (i < n) {  // a masked lane adds 0 * 0 to a sum that is not -0: no change
    const int rest = n - i, rest_high = rest > 8 ? rest - 8 : 0;
    const __m256 a = _mm256_maskload_ps(x + i, first_lanes(rest));
    low = _mm256_fmadd_ps(a, a, low);
    if (rest_high > 0) {
      const __m256 b = _mm256_maskload_ps(x + i + 8, first_lanes(rest_high));
      high = _mm256_fmadd_ps(b, b, high);
    }
  }
  const float mean = tree_sum(_mm256_add_ps(low, high)) / static_cast<float>(n);
  const float scale = 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps)));
  const __m256 s = _mm256_set1_ps(scale);
  for (i = 0; i + 8 <= n; i += 8)
    _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), s), _mm256_loadu_ps(w + i)));
  if (i < n) {
    const __m256i mask = first_lanes(n - i);
    const __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), s);
    _mm256_maskstore_ps(y + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(w + i, mask)));
  }
}

void add(float* y, const float* x, int32_t n) noexcept {
  for_each(y, x, n, [](__m256 a, __m256 b) { return _mm256_add_ps(a, b); });
}

void add_scaled(float* y, const float* x, float s, int32_t n) noexcept {
  const __m256 all = _mm256_set1_ps(s);
  for_each(y, x, n, [all](__m256 a, __m256 b) { return _mm256_fmadd_ps(all, b, a); });
}

void silu_mul(float* gate, const float* up, int32_t n) noexcept {
  for_each(gate, up, n, [](__m256 g, __m256 u) { return _mm256_mul_ps(gated(g, g), u); });
}

void gelu_tanh_mul(float* gate, const float* up, int32_t n) noexcept {
  for_each(gate, up, n, [](__m256 g, __m256 u) {
    const __m256 cubic =
        _mm256_fmadd_ps(constant(0.0713548163f), _mm256_mul_ps(g, g), constant(1.5957691216f));
    return _mm256_mul_ps(gated(g, _mm256_mul_ps(g, cubic)), u);
  });
}

void silu_gate(float* y, const float* g, int32_t n, int32_t g_step) noexcept {
  gate(y, g, n, g_step, [](__m256 v) { return gated(v, v); });
}

void sigmoid_gate(float* y, const float* g, int32_t n, int32_t g_step) noexcept {
  gate(y, g, n, g_step, [](__m256 v) { return gated(constant(1.0f), v); });
}

void rope(float* x, const float* cos, const float* sin, int32_t n_pairs, int kind) noexcept {
  int32_t i = 0;
  if (kind == 0) {
    float* y = x + n_pairs;
    for (; i + 8 <= n_pairs; i += 8) {
      const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(y + i);
      const __m256 c = _mm256_loadu_ps(cos + i), s = _mm256_loadu_ps(sin + i);
      _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
      _mm256_storeu_ps(y + i, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
    if (i < n_pairs) {
      const __m256i mask = first_lanes(n_pairs - i);
      const __m256 a = _mm256_maskload_ps(x + i, mask), b = _mm256_maskload_ps(y + i, mask);
      const __m256 c = _mm256_maskload_ps(cos + i, mask), s = _mm256_maskload_ps(sin + i, mask);
      _mm256_maskstore_ps(x + i, mask, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
      _mm256_maskstore_ps(y + i, mask, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
    return;
  }
  for (; i < n_pairs; i += 4) {  // pairs a0 b0 a1 b1 ...
    const int n = n_pairs - i < 4 ? n_pairs - i : 4;
    const __m256i pairs = first_lanes(2 * n);
    const __m128i mask = _mm256_castsi256_si128(first_lanes(n));
    const __m256 v = _mm256_maskload_ps(x + 2 * i, pairs);
    const __m128 c = _mm_maskload_ps(cos + i, mask), s = _mm_maskload_ps(sin + i, mask);
    const __m256 cs = _mm256_set_m128(_mm_unpackhi_ps(c, s), _mm_unpacklo_ps(c, s));  // c0 s0 c1 s1 ...
    const __m256 sc = _mm256_permute_ps(cs, 0xb1);
    const __m256 a = _mm256_moveldup_ps(v), b = _mm256_movehdup_ps(v);
    _mm256_maskstore_ps(x + 2 * i, pairs, _mm256_fmaddsub_ps(a, cs, _mm256_mul_ps(b, sc)));
  }
}

}  // namespace moraine::cpu::avx2
