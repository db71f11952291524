// The formats with 32-value blocks, as AVX-512 reads them: where a group's bytes become unpacked quants and
// scales. matmul_block32.cpp multiplies them by VNNI instructions, ../amx/matmul_block32.cpp by tiles.
//
// A format provides: kBytes of a block of one group; kOffset: a weight is d * (u - kOffset); kMin, whether a
// minimum is added; and unpack<kLess>(): u - kLess, where kLess is 0 or kOffset: unsigned bytes or signed
// ones, values 4i..4i+3 of the sixteen rows in u[i]. Anonymous namespace throughout: see simd.h.
#pragma once

#include "backend/cpu/kernels/avx512/simd.h"
#include "quant/layout.h"

namespace moraine::cpu::avx512 {
namespace {

struct Block32 {
  __m512i u[8];
  __m512 d, min;
};

// Every u less an offset.
template <int kLess>
MORAINE_INLINE void subtract(__m512i u[8]) {
  if constexpr (kLess != 0)
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) u[s] = _mm512_sub_epi8(u[s], _mm512_set1_epi8(static_cast<char>(kLess)));
}

// 32 nibbles as bytes: values 4s..4s+3 of the rows in u[s], 16+4s.. in u[4 + s].
MORAINE_INLINE void unpack_nibbles(const Pair& w, __m512i u[8]) {
#pragma GCC unroll 4
  for (int s = 0; s < 4; ++s) {
    const __m512i v = load_step(w + 32 * s);
    u[s] = low_nibbles(v);
    u[4 + s] = high_nibbles(v);
  }
}

// Bit 4 of 32 values, at the front, and their nibbles.
MORAINE_INLINE void unpack_five_bits(const Pair& w, __m512i u[8]) {
  const __m512i qh = load_step(w), bit4 = _mm512_set1_epi8(16);
#pragma GCC unroll 4
  for (int s = 0; s < 4; ++s) {
    const __m512i v = load_step(w + (32 + 32 * s));
    u[s] = _mm512_or_si512(low_nibbles(v), _mm512_and_si512(_mm512_slli_epi16(qh, 4 - s), bit4));
    u[4 + s] = _mm512_or_si512(high_nibbles(v), _mm512_and_si512(_mm512_srli_epi16(qh, s), bit4));
  }
}

// table[code] + offset in all lanes' 16 places.
MORAINE_INLINE __m512i codebook(const int8_t (&table)[16], int offset) {
  return _mm512_add_epi8(_mm512_broadcast_i32x4(load128(table)), _mm512_set1_epi8(static_cast<char>(offset)));
}

// 32 codes in 4 steps at w, looked up: values 4s..4s+3 of the rows in u[s], 16+4s.. in u[4 + s].
MORAINE_INLINE void look_up(__m512i table, const Pair& w, __m512i* u) {
  unpack_nibbles(w, u);
#pragma GCC unroll 8
  for (int s = 0; s < 8; ++s) u[s] = _mm512_shuffle_epi8(table, u[s]);
}

struct Q4_0 {
  static constexpr int kBytes = 8 * 18, kOffset = 8;
  static constexpr bool kMin = false;
  template <int kLess = 0>
  MORAINE_INLINE static void unpack(const Pair& w, Block32& b) {
    b.d = load_halves(w);
    unpack_nibbles(w + 16, b.u);
    subtract<kLess>(b.u);
  }
};

struct Q4_1 {
  static constexpr int kBytes = 8 * 20, kOffset = 0;
  static constexpr bool kMin = true;
  template <int kLess = 0>
  MORAINE_INLINE static void unpack(const Pair& w, Block32& b) {
    b.d = load_halves(w);
    b.min = load_halves(w + 16);
    unpack_nibbles(w + 32, b.u);
  }
};

struct Q5_0 {
  static constexpr int kBytes = 8 * 22, kOffset = 16;
  static constexpr bool kMin = false;
  template <int kLess = 0>
  MORAINE_INLINE static void unpack(const Pair& w, Block32& b) {
    b.d = load_halves(w);
    unpack_five_bits(w + 16, b.u);
    subtract<kLess>(b.u);
  }
};

struct Q5_1 {
  static constexpr int kBytes = 8 * 24, kOffset = 0;
  static constexpr bool kMin = true;
  template <int kLess = 0>
  MORAINE_INLINE static void unpack(const Pair& w, Block32& b) {
    b.d = load_halves(w);
    b.min = load_halves(w + 16);
    unpack_five_bits(w + 32, b.u);
  }
};

struct Q8_0 {
  static constexpr int kBytes = 8 * 34, kOffset = 128;
  static constexpr bool kMin = false;
  template <int kLess = 0>
  MORAINE_INLINE static void unpack(const Pair& w, Block32& b) {
    b.d = load_halves(w);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s)
      b.u[s] = _mm512_xor_si512(load_step(w + (16 + 32 * s)), _mm512_set1_epi8(kLess == 0 ? -128 : 0));
  }
};

struct IQ4_NL {
  static constexpr int kBytes = 8 * 18, kOffset = 128;
  static constexpr bool kMin = false;
  template <int kLess = 0>
  MORAINE_INLINE static void unpack(const Pair& w, Block32& b) {
    b.d = load_halves(w);
    look_up(codebook(quant::kIq4Values, kOffset - kLess), w + 16, b.u);
  }
};

// Twice the values, plus 12: 0 to 24.
struct MXFP4 {
  static constexpr int kBytes = 8 * 17, kOffset = 12;
  static constexpr bool kMin = false;
  template <int kLess = 0>
  MORAINE_INLINE static void unpack(const Pair& w, Block32& b) {
    // quant::half_e8m0_bits.
    const __m512i e = _mm512_cvtepu8_epi32(load_row_bytes(w)), one = _mm512_set1_epi32(1);
    const __m512i subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, one), 23);
    b.d = _mm512_castsi512_ps(_mm512_mask_mov_epi32(subnormal, _mm512_cmpgt_epi32_mask(e, one), normal));
    look_up(codebook(quant::mxfp4::kTwiceValues, kOffset - kLess), w + 8, b.u);
  }
};

}  // namespace
}  // namespace moraine::cpu::avx512
