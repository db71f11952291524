// How the cache's formats become floats, eight lanes at a time; layouts and arithmetic:
// kernels/scalar/attention.cpp. A format says how many bytes eight keys and one row of values take, and reads
//   keys():   column c of the eight keys of group g; 32 columns have a KeyPart, which holds their scales
//   values(): columns c to c + 7 of a row; 32 columns have a RowPart
// Columns come in pairs from keys(), `odd` known at compile time. Head sizes are multiples of 8, of 32 where
// there are scales.
#pragma once

#include "backend/cpu/kernels/avx2/simd.h"

namespace moraine::cpu::avx2 {
namespace {

// Numbers stored one by one: what the scratch buffer holds, and the f16 cache.
template <int kBytes>
struct Plain {
  struct KeyPart {
    const uint8_t* p;
  };
  using RowPart = KeyPart;
  static int64_t group_bytes(int hd) { return int64_t{8} * hd * kBytes; }
  static int64_t row_bytes(int hd) { return int64_t{hd} * kBytes; }
  MORAINE_INLINE static __m256 load8(const uint8_t* p) {
    if constexpr (kBytes == 2) return load_halves(p);
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
  MORAINE_INLINE static KeyPart key_part(const uint8_t* group, int c) { return {group + c * 8 * kBytes}; }
  MORAINE_INLINE static __m256 keys(const KeyPart& k, int i, bool) { return load8(k.p + i * 8 * kBytes); }
  MORAINE_INLINE static RowPart row_part(const uint8_t* row, int c) { return {row + c / 32 * 32 * kBytes}; }
  MORAINE_INLINE static __m256 values(const RowPart& v, int i) { return load8(v.p + i * kBytes); }
};
using Floats = Plain<4>;
using Halves = Plain<2>;

// The half at p in every lane.
MORAINE_INLINE __m256 half(const uint8_t* p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(h)));
}

struct Int8s {  // q8_0
  struct KeyPart {
    const uint8_t* q;
    __m256 d;
  };
  using RowPart = KeyPart;
  static int64_t group_bytes(int hd) { return int64_t{272} * (hd / 32); }
  static int64_t row_bytes(int hd) { return int64_t{34} * (hd / 32); }
  MORAINE_INLINE static __m256 load8(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  MORAINE_INLINE static KeyPart key_part(const uint8_t* group, int c) {
    const uint8_t* block = group + c / 32 * int64_t{272};
    return {block + 16, load_halves(block)};
  }
  MORAINE_INLINE static __m256 keys(const KeyPart& k, int i, bool) {
    return _mm256_mul_ps(k.d, load8(k.q + 8 * i));
  }
  MORAINE_INLINE static RowPart row_part(const uint8_t* row, int c) {
    const uint8_t* block = row + c / 32 * int64_t{34};
    return {block + 2, half(block)};
  }
  MORAINE_INLINE static __m256 values(const RowPart& v, int i) { return _mm256_mul_ps(v.d, load8(v.q + i)); }
};

struct Nibbles {  // q4_0
  struct KeyPart {
    const uint8_t* q;
    __m256 d, zero;  // a nibble n is n d + zero
  };
  using RowPart = KeyPart;
  static int64_t group_bytes(int hd) { return int64_t{144} * (hd / 32); }
  static int64_t row_bytes(int hd) { return int64_t{18} * (hd / 32); }
  MORAINE_INLINE static KeyPart part(const uint8_t* q, __m256 d) {
    return {q, d, _mm256_mul_ps(d, _mm256_set1_ps(-8.0f))};
  }
  MORAINE_INLINE static __m256 load8(const KeyPart& k, const uint8_t* p, bool high) {
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m256i n = high ? _mm256_srli_epi32(bytes, 4) : _mm256_and_si256(bytes, _mm256_set1_epi32(15));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(n), k.d, k.zero);
  }
  MORAINE_INLINE static KeyPart key_part(const uint8_t* group, int c) {
    const uint8_t* block = group + c / 32 * int64_t{144};
    return part(block + 16, load_halves(block));
  }
  MORAINE_INLINE static __m256 keys(const KeyPart& k, int i, bool odd) {
    return load8(k, k.q + 8 * (i / 2), odd);
  }
  MORAINE_INLINE static RowPart row_part(const uint8_t* row, int c) {
    const uint8_t* block = row + c / 32 * int64_t{18};
    return part(block + 2, half(block));
  }
  MORAINE_INLINE static __m256 values(const RowPart& v, int i) { return load8(v, v.q + i % 16, i >= 16); }
};

}  // namespace
}  // namespace moraine::cpu::avx2
