// The formats with 256-value blocks, as AVX-512 reads them: where a group's bytes become unpacked quants and
// integer scales. matmul_k*.cpp multiplies them by VNNI instructions; ../amx/panel_k.h makes tiles of them.
//
// A block is eight parts of 32 values. A format provides: kBytes of a block of one group; kScales, integer
// scales of a row: one for each part (8) or for each half of it (16); kMins, whether minima are subtracted,
// with scales of their own; kOffset: a weight is (u - kOffset) * scale; part<j>(): part j's quants u,
// unsigned bytes, values 4i..4i+3 of the sixteen rows in u[i]; and read(): the scales. Anonymous namespace
// throughout: see simd.h.
#pragma once

#include "backend/cpu/kernels/avx512/block32.h"

namespace moraine::cpu::avx512 {
namespace {

// What a block needs besides its quants; integers are int32, one for each row.
template <int kScales, bool kMins>
struct Scales {
  __m512i scale[kScales];
  __m512i min[kMins ? kScales : 1];
  __m512 d, dmin;
};

// int16 pairs, the first the lower.
MORAINE_INLINE __m512i pairs(__m512i a, __m512i b) {
  return _mm512_mask_blend_epi16(0xaaaaaaaau, a, _mm512_slli_epi32(b, 16));
}

// Bytes [4 sub-blocks][8 rows] of both groups to int32: sub-blocks 0 to 3. The higher halves hold the
// second group.
MORAINE_INLINE void widen4(__m512i bytes, __m512i out[4]) {
  const __m256i a = _mm512_castsi512_si256(bytes), b = _mm512_extracti64x4_epi64(bytes, 1);
  const __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b);
  out[0] = _mm512_cvtepu8_epi32(_mm256_castsi256_si128(even));
  out[1] = _mm512_cvtepu8_epi32(_mm256_castsi256_si128(odd));
  out[2] = _mm512_cvtepu8_epi32(_mm256_extracti128_si256(even, 1));
  out[3] = _mm512_cvtepu8_epi32(_mm256_extracti128_si256(odd, 1));
}

// Low six bits from 4-bit fields L[4][8] and 2-bit fields H[2][8] (../../layout.h).
MORAINE_INLINE void six_bits(const Pair& w, __m512i out[8]) {
  const __m512i low = load_step(w);
  const __m512i up = _mm512_setr_epi64(4, 2, 0, 0, 4, 2, 0, 0);
  const __m512i down = _mm512_setr_epi64(0, 0, 0, 2, 0, 0, 0, 2);
#pragma GCC unroll 2
  for (int t = 0; t < 2; ++t) {
    int64_t bits[2];
    memcpy(bits, w.w0 + 32 + 8 * t, 8);
    memcpy(bits + 1, w.w1 + 32 + 8 * t, 8);
    const __m512i both =
        _mm512_mask_blend_epi64(0xf0, _mm512_set1_epi64(bits[0]), _mm512_set1_epi64(bits[1]));
    const __m512i high =
        _mm512_and_si512(_mm512_srlv_epi64(_mm512_sllv_epi64(both, up), down), _mm512_set1_epi8(0x30));
    widen4(_mm512_or_si512(t == 0 ? low_nibbles(low) : high_nibbles(low), high), out + 4 * t);
  }
}

// Q4_K and Q5_K: 6-bit scales and mins, one for each part.
MORAINE_INLINE void read_scales_and_mins(const Pair& w, Scales<8, true>& s) {
  s.d = load_halves(w);
  s.dmin = load_halves(w + 16);
  six_bits(w + 32, s.scale);
  six_bits(w + 80, s.min);
}

struct Q4_K {
  static constexpr int kBytes = 8 * 144, kScales = 8, kOffset = 0;
  static constexpr bool kMins = true;
  MORAINE_INLINE static void read(const Pair& w, Scales<8, true>& s) { read_scales_and_mins(w, s); }
  template <int j>
  MORAINE_INLINE static void part(const Pair& w, __m512i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m512i v = load_step(w + (128 + j / 2 * 256 + 32 * s));
      u[s] = j % 2 ? high_nibbles(v) : low_nibbles(v);
    }
  }
};

struct Q5_K {
  static constexpr int kBytes = 8 * 176, kScales = 8, kOffset = 0;
  static constexpr bool kMins = true;
  MORAINE_INLINE static void read(const Pair& w, Scales<8, true>& s) { read_scales_and_mins(w, s); }
  template <int j>
  MORAINE_INLINE static void part(const Pair& w, __m512i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m512i v = load_step(w + (384 + j / 2 * 256 + 32 * s));
      const __m512i high = shift_bits<4 - j>(load_step(w + (128 + 32 * s)), 16);
      u[s] = _mm512_or_si512(j % 2 ? high_nibbles(v) : low_nibbles(v), high);
    }
  }
};

struct Q6_K {
  static constexpr int kBytes = 8 * 210, kScales = 16, kOffset = 32;
  static constexpr bool kMins = false;
  MORAINE_INLINE static void read(const Pair& w, Scales<16, false>& s) {
    s.d = load_halves(w);
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) s.scale[j] = _mm512_cvtepi8_epi32(load_row_bytes(w + (16 + 8 * j)));
  }
  template <int j>
  MORAINE_INLINE static void part(const Pair& w, __m512i u[8]) {
    constexpr int kQuarter = j % 4;
    const Pair half = w + (144 + j / 4 * 768);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m512i v = load_step(half + (kQuarter % 2 * 256 + 32 * s));
      const __m512i high = shift_bits<4 - 2 * kQuarter>(load_step(half + (512 + 32 * s)), 0x30);
      u[s] = _mm512_or_si512(kQuarter < 2 ? low_nibbles(v) : high_nibbles(v), high);
    }
  }
};

struct Q2_K {
  static constexpr int kBytes = 8 * 84, kScales = 16, kOffset = 0;
  static constexpr bool kMins = true;
  MORAINE_INLINE static void read(const Pair& w, Scales<16, true>& s) {
    s.d = load_halves(w);
    s.dmin = load_halves(w + 16);
#pragma GCC unroll 4
    for (int t = 0; t < 4; ++t) {
      const __m512i b = load_step(w + (32 + 32 * t));
      widen4(low_nibbles(b), s.scale + 4 * t);
      widen4(high_nibbles(b), s.min + 4 * t);
    }
  }
  template <int j>
  MORAINE_INLINE static void part(const Pair& w, __m512i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s)
      u[s] = shift_bits<-(j % 4 * 2)>(load_step(w + (160 + j / 4 * 256 + 32 * s)), 3);
  }
};

struct Q3_K {
  static constexpr int kBytes = 8 * 110, kScales = 16, kOffset = 4;
  static constexpr bool kMins = false;

  // Scales 4t..4t+3 of the rows: low has their low bits in the low nibbles, high the others in bits 0 and 1
  // above 2t.
  template <int t>
  MORAINE_INLINE static void widen(__m512i low, __m512i high, Scales<16, false>& s) {
    widen4(_mm512_or_si512(low, shift_bits<4 - 2 * t>(high, 0x30)), s.scale + 4 * t);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      s.scale[4 * t + i] = _mm512_sub_epi32(s.scale[4 * t + i], _mm512_set1_epi32(32));
  }
  MORAINE_INLINE static void read(const Pair& w, Scales<16, false>& s) {
    s.d = load_halves(w);
    const __m512i a = load_step(w + 16), b = load_step(w + 48), high = load_step(w + 80);
    widen<0>(low_nibbles(a), high, s);
    widen<1>(low_nibbles(b), high, s);
    widen<2>(high_nibbles(a), high, s);
    widen<3>(high_nibbles(b), high, s);
  }
  template <int j>
  MORAINE_INLINE static void part(const Pair& w, __m512i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m512i low = shift_bits<-(j % 4 * 2)>(load_step(w + (368 + j / 4 * 256 + 32 * s)), 3);
      u[s] = _mm512_or_si512(low, shift_bits<2 - j>(load_step(w + (112 + 32 * s)), 4));
    }
  }
};

struct IQ4_XS {
  static constexpr int kBytes = 8 * 136, kScales = 8, kOffset = 128;
  static constexpr bool kMins = false;
  MORAINE_INLINE static void read(const Pair& w, Scales<8, false>& s) {
    s.d = load_halves(w);
    six_bits(w + 16, s.scale);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) s.scale[j] = _mm512_sub_epi32(s.scale[j], _mm512_set1_epi32(32));
  }
  template <int j>
  MORAINE_INLINE static void part(const Pair& w, __m512i u[8]) {
    look_up(codebook(quant::kIq4Values, -128), w + (64 + 128 * j), u);
  }
};

// f.operator()<j>() for the parts j of a block: what unpacks a part needs j as a constant.
template <class Fn>
MORAINE_INLINE void for_each_part(Fn f) {
  f.template operator()<0>();
  f.template operator()<1>();
  f.template operator()<2>();
  f.template operator()<3>();
  f.template operator()<4>();
  f.template operator()<5>();
  f.template operator()<6>();
  f.template operator()<7>();
}

// What multiplies the sums of a block's sixteen activations each, two by two: the mins, or what the offset
// leaves to subtract.
template <class F>
MORAINE_INLINE void sum_factors(const Scales<F::kScales, F::kMins>& s, __m512i factors[8]) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const int a = F::kScales == 8 ? i : 2 * i, b = F::kScales == 8 ? i : 2 * i + 1;
    if constexpr (F::kMins) {
      factors[i] = pairs(s.min[a], s.min[b]);
    } else {
      const __m512i minus = _mm512_set1_epi32(-F::kOffset);
      factors[i] = pairs(_mm512_mullo_epi32(s.scale[a], minus), _mm512_mullo_epi32(s.scale[b], minus));
    }
  }
}

// The sums of a block's activations times their factors.
MORAINE_INLINE __m512i add_sums(__m512i total, const __m512i factors[8], const int16_t* sums) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) total = _mm512_dpwssd_epi32(total, factors[i], broadcast4(sums + 2 * i));
  return total;
}

// acc plus a block: its dot product, scaled, less its mins.
template <class F>
MORAINE_INLINE __m512 add_block(const Scales<F::kScales, F::kMins>& s, __m512i dot, __m512i mins, float dx,
                                __m512 acc) {
  const __m512 x = _mm512_set1_ps(dx);
  acc = _mm512_fmadd_ps(_mm512_mul_ps(s.d, x), _mm512_cvtepi32_ps(dot), acc);
  if constexpr (F::kMins) acc = _mm512_fnmadd_ps(_mm512_mul_ps(s.dmin, x), _mm512_cvtepi32_ps(mins), acc);
  return acc;
}

}  // namespace
}  // namespace moraine::cpu::avx512
