// What the kernels use of AVX-512, by AVX2: for tests on machines that lack it, never in the product. The
// names are the intrinsics'; those of this namespace hide the compiler's, so that the kernels' own sources
// compile as they are, without -mavx512f. An intrinsic that is missing here is an error of the compiler
// ("target specific option mismatch"): add it. Most are the AVX2 instruction on both halves; each keeps its
// rounding, its zeros for counts beyond the width, and leaves memory behind a mask alone. Speed does not
// matter.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

// Some are macros where the compiler does not optimise.
#undef _mm512_cmp_ps_mask
#undef _mm512_cmpgt_epi32_mask
#undef _mm512_extractf32x8_ps
#undef _mm512_extracti64x4_epi64
#undef _mm512_inserti64x4
#undef _mm512_roundscale_ps
#undef _mm512_slli_epi16
#undef _mm512_slli_epi32
#undef _mm512_srli_epi16
#undef _mm512_srli_epi32
#undef _mm512_ternarylogic_epi32

namespace moraine::cpu {
namespace {

#define EMULATED [[gnu::noinline, maybe_unused]] inline  // or the unrolled kernels take minutes to compile

// ---- Halves and lanes.
EMULATED __m256i low(__m512i v) { return __builtin_shufflevector(v, v, 0, 1, 2, 3); }
EMULATED __m256i high(__m512i v) { return __builtin_shufflevector(v, v, 4, 5, 6, 7); }
EMULATED __m512i join(__m256i l, __m256i h) { return __builtin_shufflevector(l, h, 0, 1, 2, 3, 4, 5, 6, 7); }
EMULATED __m256 low(__m512 v) { return __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7); }
EMULATED __m256 high(__m512 v) { return __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15); }
EMULATED __m512 join(__m256 l, __m256 h) {
  return __builtin_shufflevector(l, h, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// All bits of the eight lanes that a mask names.
EMULATED __m256i lanes_of(uint32_t mask) {
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int32_t>(mask)), bits), bits);
}

// T's of b where the mask has a bit, else of a.
template <class T>
EMULATED __m512i blend(uint32_t mask, __m512i a, __m512i b) {
  T x[64 / sizeof(T)], y[64 / sizeof(T)];
  memcpy(x, &a, 64);
  memcpy(y, &b, 64);
  for (unsigned i = 0; i < 64 / sizeof(T); ++i)
    if (mask >> i & 1) x[i] = y[i];
  memcpy(&a, x, 64);
  return a;
}

// ---- One AVX2 instruction for each half.
#define UNARY(name, half, To, From) \
  EMULATED To _mm512_##name(From a) { return join(_mm256_##half(low(a)), _mm256_##half(high(a))); }
#define BINARY(name, half, T)                                                    \
  EMULATED T _mm512_##name(T a, T b) {                                           \
    return join(_mm256_##half(low(a), low(b)), _mm256_##half(high(a), high(b))); \
  }
#define SHIFT(name)                                                   \
  EMULATED __m512i _mm512_##name(__m512i a, unsigned n) {             \
    return join(_mm256_##name(low(a), n), _mm256_##name(high(a), n)); \
  }
#define TERNARY(name)                                                                             \
  EMULATED __m512 _mm512_##name(__m512 a, __m512 b, __m512 c) {                                   \
    return join(_mm256_##name(low(a), low(b), low(c)), _mm256_##name(high(a), high(b), high(c))); \
  }
#define SET(name, half, T, Value) \
  EMULATED T _mm512_##name(Value x) { return join(_mm256_##half(x), _mm256_##half(x)); }

UNARY(cvtepi32_ps, cvtepi32_ps, __m512, __m512i)
UNARY(cvtps_epi32, cvtps_epi32, __m512i, __m512)
UNARY(castps_si512, castps_si256, __m512i, __m512)
UNARY(castsi512_ps, castsi256_ps, __m512, __m512i)
BINARY(add_epi8, add_epi8, __m512i)
BINARY(add_epi32, add_epi32, __m512i)
BINARY(and_si512, and_si256, __m512i)
BINARY(maddubs_epi16, maddubs_epi16, __m512i)
BINARY(mullo_epi16, mullo_epi16, __m512i)
BINARY(mullo_epi32, mullo_epi32, __m512i)
BINARY(or_si512, or_si256, __m512i)
BINARY(shuffle_epi8, shuffle_epi8, __m512i)
BINARY(sllv_epi32, sllv_epi32, __m512i)
BINARY(sllv_epi64, sllv_epi64, __m512i)
BINARY(srlv_epi64, srlv_epi64, __m512i)
BINARY(sub_epi8, sub_epi8, __m512i)
BINARY(sub_epi16, sub_epi16, __m512i)
BINARY(sub_epi32, sub_epi32, __m512i)
BINARY(xor_si512, xor_si256, __m512i)
BINARY(add_ps, add_ps, __m512)
BINARY(max_ps, max_ps, __m512)
BINARY(min_ps, min_ps, __m512)
BINARY(mul_ps, mul_ps, __m512)
BINARY(sub_ps, sub_ps, __m512)
BINARY(xor_ps, xor_ps, __m512)
SHIFT(slli_epi16)
SHIFT(slli_epi32)
SHIFT(srli_epi16)
SHIFT(srli_epi32)
TERNARY(fmadd_ps)
TERNARY(fnmadd_ps)
SET(set1_epi8, set1_epi8, __m512i, char)
SET(set1_epi16, set1_epi16, __m512i, short)
SET(set1_epi32, set1_epi32, __m512i, int)
SET(set1_epi64, set1_epi64x, __m512i, long long)
SET(set1_ps, set1_ps, __m512, float)

#undef UNARY
#undef BINARY
#undef SHIFT
#undef TERNARY
#undef SET

// ---- Constants, and parts of registers.
EMULATED __m512i _mm512_setzero_si512() { return _mm512_set1_epi32(0); }
EMULATED __m512 _mm512_setzero_ps() { return _mm512_set1_ps(0.0f); }
EMULATED __m512i _mm512_setr_epi64(long long a, long long b, long long c, long long d, long long e,
                                   long long f, long long g, long long h) {
  return join(_mm256_setr_epi64x(a, b, c, d), _mm256_setr_epi64x(e, f, g, h));
}
EMULATED __m512 _mm512_setr_ps(float a, float b, float c, float d, float e, float f, float g, float h,
                               float i, float j, float k, float l, float m, float n, float o, float p) {
  return join(_mm256_setr_ps(a, b, c, d, e, f, g, h), _mm256_setr_ps(i, j, k, l, m, n, o, p));
}
EMULATED __m512i _mm512_castsi256_si512(__m256i v) { return join(v, v); }
EMULATED __m256i _mm512_castsi512_si256(__m512i v) { return low(v); }
EMULATED __m256 _mm512_castps512_ps256(__m512 v) { return low(v); }
EMULATED __m128 _mm512_castps512_ps128(__m512 v) { return _mm256_castps256_ps128(low(v)); }
EMULATED __m256i _mm512_extracti64x4_epi64(__m512i v, int half) { return half ? high(v) : low(v); }
EMULATED __m256 _mm512_extractf32x8_ps(__m512 v, int half) { return half ? high(v) : low(v); }
EMULATED __m512i _mm512_inserti64x4(__m512i v, __m256i x, int half) {
  return half ? join(low(v), x) : join(x, high(v));
}
EMULATED __m512i _mm512_broadcast_i32x4(__m128i v) {
  return join(_mm256_broadcastsi128_si256(v), _mm256_broadcastsi128_si256(v));
}

// ---- Wider lanes.
EMULATED __m512i _mm512_cvtepi8_epi32(__m128i v) {
  return join(_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(v, v)));
}
EMULATED __m512i _mm512_cvtepu8_epi32(__m128i v) {
  return join(_mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(v, v)));
}
EMULATED __m512i _mm512_cvtepu16_epi32(__m256i v) {
  return join(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)),
              _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1)));
}
EMULATED __m512 _mm512_cvtph_ps(__m256i v) {
  return join(_mm256_cvtph_ps(_mm256_castsi256_si128(v)), _mm256_cvtph_ps(_mm256_extracti128_si256(v, 1)));
}

// ---- Memory.
EMULATED __m512i _mm512_loadu_si512(const void* p) {
  __m512i v;
  memcpy(&v, p, 64);
  return v;
}
EMULATED __m512 _mm512_loadu_ps(const void* p) {
  __m512 v;
  memcpy(&v, p, 64);
  return v;
}
EMULATED void _mm512_storeu_ps(void* p, __m512 v) { memcpy(p, &v, 64); }
EMULATED void check_alignment(const void* p) {
  if (reinterpret_cast<uintptr_t>(p) % 64 != 0) __builtin_trap();
}
EMULATED __m512i _mm512_load_si512(const void* p) {
  check_alignment(p);
  return _mm512_loadu_si512(p);
}
EMULATED void _mm512_store_si512(void* p, __m512i v) {
  check_alignment(p);
  memcpy(p, &v, 64);
}
EMULATED __m512 _mm512_load_ps(const void* p) {
  check_alignment(p);
  return _mm512_loadu_ps(p);
}
EMULATED void _mm512_store_ps(void* p, __m512 v) {
  check_alignment(p);
  memcpy(p, &v, 64);
}

// ---- Masks. What they hide is neither read nor written.
EMULATED __m256i _mm256_maskz_loadu_epi32(__mmask8 mask, const void* p) {
  return _mm256_maskload_epi32(static_cast<const int*>(p), lanes_of(mask));
}
EMULATED __m256 _mm256_maskz_loadu_ps(__mmask8 mask, const void* p) {
  return _mm256_maskload_ps(static_cast<const float*>(p), lanes_of(mask));
}
EMULATED __m256i _mm256_maskz_loadu_epi16(__mmask16 mask, const void* p) {
  int16_t x[16] = {};
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) memcpy(x + i, static_cast<const int16_t*>(p) + i, 2);
  __m256i v;
  memcpy(&v, x, 32);
  return v;
}
EMULATED __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void* p) {
  const float* f = static_cast<const float*>(p);
  return join(_mm256_maskload_ps(f, lanes_of(mask)), _mm256_maskload_ps(f + 8, lanes_of(mask >> 8)));
}
EMULATED void _mm512_mask_storeu_ps(void* p, __mmask16 mask, __m512 v) {
  float* f = static_cast<float*>(p);
  _mm256_maskstore_ps(f, lanes_of(mask), low(v));
  _mm256_maskstore_ps(f + 8, lanes_of(mask >> 8), high(v));
}
EMULATED __m512i _mm512_mask_blend_epi16(__mmask32 mask, __m512i a, __m512i b) {
  return blend<int16_t>(mask, a, b);
}
EMULATED __m512i _mm512_mask_blend_epi64(__mmask8 mask, __m512i a, __m512i b) {
  return blend<int64_t>(mask, a, b);
}
EMULATED __m512i _mm512_mask_mov_epi32(__m512i from, __mmask16 mask, __m512i v) {
  return blend<int32_t>(mask, from, v);
}
EMULATED __m512 _mm512_mask_mov_ps(__m512 from, __mmask16 mask, __m512 v) {
  return _mm512_castsi512_ps(blend<int32_t>(mask, _mm512_castps_si512(from), _mm512_castps_si512(v)));
}
EMULATED __m512 _mm512_maskz_mov_ps(__mmask16 mask, __m512 v) {
  return _mm512_mask_mov_ps(_mm512_setzero_ps(), mask, v);
}
EMULATED __mmask16 _mm512_cmpgt_epi32_mask(__m512i a, __m512i b) {
  const auto half = [](__m256i x, __m256i y) {
    return _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(x, y)));
  };
  return static_cast<__mmask16>(half(low(a), low(b)) | half(high(a), high(b)) << 8);
}
EMULATED __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int how) {
  if (how != _CMP_LT_OQ) __builtin_trap();
  const auto half = [](__m256 x, __m256 y) { return _mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_LT_OQ)); };
  return static_cast<__mmask16>(half(low(a), low(b)) | half(high(a), high(b)) << 8);
}

// ---- What AVX2 has no like of.
EMULATED __m512 _mm512_roundscale_ps(__m512 v, int how) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  if (how != kNearest) __builtin_trap();
  return join(_mm256_round_ps(low(v), kNearest), _mm256_round_ps(high(v), kNearest));
}
EMULATED __m512 _mm512_permutexvar_ps(__m512i index, __m512 v) {
  uint32_t at[16];
  float from[16], to[16];
  memcpy(at, &index, 64);
  memcpy(from, &v, 64);
  for (int i = 0; i < 16; ++i) to[i] = from[at[i] & 15];
  memcpy(&v, to, 64);
  return v;
}
EMULATED __m512i _mm512_ternarylogic_epi32(__m512i a, __m512i b, __m512i c, int table) {
  __m512i v = _mm512_setzero_si512();
  for (int i = 0; i < 8; ++i)
    if (table >> i & 1) v |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  return v;
}
// Each int32 gains four products of unsigned bytes of a and signed ones of b, or two of int16.
EMULATED __m512i _mm512_dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
  const auto half = [](__m256i s, __m256i u, __m256i q) {
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(0xff)),
                                           _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(q, 8));
    return _mm256_add_epi32(s, _mm256_add_epi32(even, odd));
  };
  return join(half(low(sum), low(a), low(b)), half(high(sum), high(a), high(b)));
}
EMULATED __m512i _mm512_dpwssd_epi32(__m512i sum, __m512i a, __m512i b) {
  return join(_mm256_add_epi32(low(sum), _mm256_madd_epi16(low(a), low(b))),
              _mm256_add_epi32(high(sum), _mm256_madd_epi16(high(a), high(b))));
}

#undef EMULATED

}  // namespace
}  // namespace moraine::cpu
