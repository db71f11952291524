// How the cache's formats become floats, sixteen lanes at a time; layouts and arithmetic:
// kernels/scalar/attention.cpp; the scheme: ../avx2/kv_formats.h. Keys are sixteen, of two groups side by
// side; of values the last ones of a row may be eight, `some`.
#pragma once

#include "backend/cpu/kernels/avx512/simd.h"

namespace moraine::cpu::avx512 {
namespace {

// The half at p in every lane.
MORAINE_INLINE __m512 half(const uint8_t* p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(h)));
}

// Numbers stored one by one: of the scratch buffer, whose keys lie sixteen side by side; of the f16 cache.
struct Floats {
  struct KeyPart {
    const float* p;
  };
  using RowPart = KeyPart;
  static int64_t group_bytes(int hd) { return int64_t{32} * hd; }
  static int64_t row_bytes(int hd) { return int64_t{4} * hd; }
  MORAINE_INLINE static KeyPart key_part(const Pair& keys, int c) {
    return {reinterpret_cast<const float*>(keys.w0) + 16 * c};
  }
  MORAINE_INLINE static __m512 keys(const KeyPart& k, int i, bool) { return _mm512_loadu_ps(k.p + i * 16); }
  MORAINE_INLINE static RowPart row_part(const uint8_t* row, int c) {
    return {reinterpret_cast<const float*>(row) + c / 32 * 32};
  }
  MORAINE_INLINE static __m512 values(const RowPart& v, int i, __mmask16 some) {
    return _mm512_maskz_loadu_ps(some, v.p + i);
  }
};
struct Halves {
  struct KeyPart {
    Pair p;
  };
  struct RowPart {
    const uint8_t* p;
  };
  static int64_t group_bytes(int hd) { return int64_t{16} * hd; }
  static int64_t row_bytes(int hd) { return int64_t{2} * hd; }
  MORAINE_INLINE static KeyPart key_part(const Pair& keys, int c) { return {keys + 16 * c}; }
  MORAINE_INLINE static __m512 keys(const KeyPart& k, int i, bool) { return load_halves(k.p + i * 16); }
  MORAINE_INLINE static RowPart row_part(const uint8_t* row, int c) { return {row + c / 32 * 64}; }
  MORAINE_INLINE static __m512 values(const RowPart& v, int i, __mmask16 some) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(some, v.p + i * 2));
  }
};

struct Int8s {  // q8_0
  struct KeyPart {
    Pair q;
    __m512 d;
  };
  struct RowPart {
    const uint8_t* q;
    __m512 d;
  };
  static int64_t group_bytes(int hd) { return int64_t{272} * (hd / 32); }
  static int64_t row_bytes(int hd) { return int64_t{34} * (hd / 32); }
  MORAINE_INLINE static __m512 floats(__m128i q) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)); }
  MORAINE_INLINE static KeyPart key_part(const Pair& keys, int c) {
    const Pair block = keys + c / 32 * 272;
    return {block + 16, load_halves(block)};
  }
  MORAINE_INLINE static __m512 keys(const KeyPart& k, int i, bool) {
    return _mm512_mul_ps(k.d, floats(load_row_bytes(k.q + 8 * i)));
  }
  MORAINE_INLINE static RowPart row_part(const uint8_t* row, int c) {
    const uint8_t* block = row + c / 32 * int64_t{34};
    return {block + 2, half(block)};
  }
  MORAINE_INLINE static __m512 values(const RowPart& v, int i, __mmask16) {
    return _mm512_mul_ps(v.d, floats(load128(v.q + i)));
  }
};

struct Nibbles {  // q4_0
  struct KeyPart {
    Pair q;
    __m512 d, zero;  // a nibble n is n d + zero
  };
  struct RowPart {
    const uint8_t* q;
    __m512 of_nibble;
  };
  static int64_t group_bytes(int hd) { return int64_t{144} * (hd / 32); }
  static int64_t row_bytes(int hd) { return int64_t{18} * (hd / 32); }
  MORAINE_INLINE static __m512 all() {
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  // One nibble of each byte as an index; a permutation looks at no more than its four bits.
  MORAINE_INLINE static __m512i index(__m128i bytes, bool high) {
    const __m512i wide = _mm512_cvtepu8_epi32(bytes);
    return high ? _mm512_srli_epi32(wide, 4) : wide;
  }
  MORAINE_INLINE static KeyPart key_part(const Pair& keys, int c) {
    const Pair block = keys + c / 32 * 144;
    const __m512 d = load_halves(block);
    return {block + 16, d, _mm512_mul_ps(d, _mm512_set1_ps(-8.0f))};
  }
  MORAINE_INLINE static __m512 keys(const KeyPart& k, int i, bool odd) {
    const __m512 n = _mm512_permutexvar_ps(index(load_row_bytes(k.q + 8 * (i / 2)), odd), all());
    return _mm512_fmadd_ps(n, k.d, k.zero);
  }
  MORAINE_INLINE static RowPart row_part(const uint8_t* row, int c) {
    const uint8_t* block = row + c / 32 * int64_t{18};
    const __m512 d = half(block);
    return {block + 2, _mm512_fmadd_ps(all(), d, _mm512_mul_ps(d, _mm512_set1_ps(-8.0f)))};
  }
  MORAINE_INLINE static __m512 values(const RowPart& v, int i, __mmask16) {
    return _mm512_permutexvar_ps(index(load128(v.q), i >= 16), v.of_nibble);
  }
};

}  // namespace
}  // namespace moraine::cpu::avx512
