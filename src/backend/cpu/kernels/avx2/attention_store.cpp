// Storing keys and values into the cache; layouts and arithmetic: kernels/scalar/attention.cpp.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/math.h"

namespace moraine::cpu::avx2 {
namespace {

MORAINE_INLINE uint16_t to_half(float f) {
  return static_cast<uint16_t>(_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(f), _MM_FROUND_TO_NEAREST_INT), 0));
}

// 32 values to the cache's Q8_0: the scale as a half, and the quants.
MORAINE_INLINE __m256i to_q8_0(const float* x, uint16_t* d) {
  const float amax = max_magnitude(x, 32);
  *d = to_half(amax / 127.0f);
  return quantize_32(x, amax > 0.0f ? 127.0f / amax : 0.0f);
}

// Where kMask has a bit, a - b of the lane's pair (a, b); elsewhere a + b. `other` has the pairs swapped.
template <int kMask>
MORAINE_INLINE __m256 butterfly(__m256 v, __m256 other) {
  return _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), kMask);
}

MORAINE_INLINE void rotate(const float* x, float* y) {
  __m256 v[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    v[i] = butterfly<0xaa>(v[i], _mm256_permute_ps(v[i], 0xb1));
    v[i] = butterfly<0xcc>(v[i], _mm256_permute_ps(v[i], 0x4e));
    v[i] = butterfly<0xf0>(v[i], _mm256_permute2f128_ps(v[i], v[i], 1));
  }
  const __m256 s0 = _mm256_add_ps(v[0], v[1]), s1 = _mm256_sub_ps(v[0], v[1]);
  const __m256 s2 = _mm256_add_ps(v[2], v[3]), s3 = _mm256_sub_ps(v[2], v[3]);
  const __m256 factor = constant(kHadamard32);
  _mm256_storeu_ps(y, _mm256_mul_ps(_mm256_add_ps(s0, s2), factor));
  _mm256_storeu_ps(y + 8, _mm256_mul_ps(_mm256_add_ps(s1, s3), factor));
  _mm256_storeu_ps(y + 16, _mm256_mul_ps(_mm256_sub_ps(s0, s2), factor));
  _mm256_storeu_ps(y + 24, _mm256_mul_ps(_mm256_sub_ps(s1, s3), factor));
}

// 32 values to its Q4_0: the scale as a half, and the nibbles as bytes.
MORAINE_INLINE void to_q4_0(const float* x, uint16_t* d, uint8_t q[32]) {
  __m256 top = _mm256_setzero_ps(), bottom = top;
  for (int i = 0; i < 32; i += 8) {  // a NaN is passed over
    top = _mm256_max_ps(_mm256_loadu_ps(x + i), top);
    bottom = _mm256_max_ps(negate(_mm256_loadu_ps(x + i)), bottom);
  }
  const float high = max_lane(top), low = max_lane(bottom);
  const float extreme = high > low ? high : 0.0f - low;  // +0 where nothing is there
  *d = to_half(extreme / -8.0f);
  const __m256 id = constant(extreme != 0.0f ? -8.0f / extreme : 0.0f);
  __m256i n[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    __m256 f = _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), id), constant(8.5f));
    f = _mm256_max_ps(_mm256_min_ps(f, constant(15.0f)), _mm256_setzero_ps());
    n[i] = _mm256_cvttps_epi32(f);
  }
  // The packs interleave 128-bit halves: dwords 0 4 1 5 2 6 3 7 are in order.
  const __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_permutevar8x32_epi32(bytes, order));
}

}  // namespace

void store_k_f16(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + (int64_t{slot / 8} * hd * 8 + slot % 8) * 2;
  for (int32_t i = 0; i < hd; ++i, p += 16) {
    const uint16_t h = to_half(x[i]);
    memcpy(p, &h, 2);
  }
}

void store_v_f16(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + int64_t{slot} * hd * 2;
  for (int32_t i = 0; i < hd; i += 8) {
    const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 2 * i), h);
  }
}

void store_k_q8_0(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + int64_t{slot / 8} * (hd / 32) * 272;
  for (int32_t b = 0; b < hd / 32; ++b, p += 272) {
    uint16_t d;
    alignas(32) int8_t q[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(q), to_q8_0(x + 32 * b, &d));
    memcpy(p + 2 * (slot % 8), &d, 2);
    for (int i = 0; i < 32; ++i) p[16 + 8 * i + slot % 8] = static_cast<uint8_t>(q[i]);
  }
}

void store_v_q8_0(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + int64_t{slot} * (hd / 32) * 34;
  for (int32_t b = 0; b < hd / 32; ++b, p += 34) {
    uint16_t d;
    const __m256i q = to_q8_0(x + 32 * b, &d);
    memcpy(p, &d, 2);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 2), q);
  }
}

void rotate32(float* x, int32_t n) noexcept {
  for (int32_t i = 0; i < n; i += 32) rotate(x + i, x + i);
}

void store_k_q4_0(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + int64_t{slot / 8} * (hd / 32) * 144;
  for (int32_t b = 0; b < hd / 32; ++b, p += 144) {
    uint16_t d;
    uint8_t q[32];
    float rotated[32];
    rotate(x + 32 * b, rotated);
    to_q4_0(rotated, &d, q);
    memcpy(p + 2 * (slot % 8), &d, 2);
    for (int i = 0; i < 16; ++i)
      p[16 + 8 * i + slot % 8] = static_cast<uint8_t>(q[2 * i] | q[2 * i + 1] << 4);
  }
}

void store_v_q4_0(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + int64_t{slot} * (hd / 32) * 18;
  for (int32_t b = 0; b < hd / 32; ++b, p += 18) {
    uint16_t d;
    uint8_t q[32];
    to_q4_0(x + 32 * b, &d, q);
    memcpy(p, &d, 2);
    for (int i = 0; i < 16; ++i) p[2 + i] = static_cast<uint8_t>(q[i] | q[i + 16] << 4);
  }
}

}  // namespace moraine::cpu::avx2
