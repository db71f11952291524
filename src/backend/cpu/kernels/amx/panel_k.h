// Weights of formats with 256-value blocks as tiles take them.
//
// A tile multiplies bytes over 64 values at once, more than a scale spans. So the integer scales go into the
// weights first: (u - offset) * scale has up to 14 bits and becomes one plane of bytes or two, each a tile of
// its own. Which way is the cheapest depends on how many bits quants and scales have; the sums are the exact
// int32 of kernels/scalar/matmul.cpp in every one. Anonymous namespace throughout: see ../avx512/simd.h.
#pragma once

#include "backend/cpu/kernels/amx/tiles.h"
#include "backend/cpu/kernels/avx512/block256.h"

namespace moraine::cpu::amx {
namespace {

using avx512::pairs;

// A way to split weights: kPlanes; kSigned, whether the bytes of a plane are signed; prepare(): what a scale,
// an int32 for each row, is multiplied as; split(): 64 quants times that as bytes; whole(): the sum of
// products, of its planes' sums.

// Q2_K: u * scale is at most 45.
struct OneByte {
  static constexpr int kPlanes = 1;
  static constexpr bool kSigned[] = {false};
  struct Scale {
    __m512i s;
  };
  MORAINE_INLINE static Scale prepare(__m512i scale) { return {pairs(scale, scale)}; }
  MORAINE_INLINE static void split(__m512i u, const Scale& scale, __m512i* const planes[]) {
    *planes[0] = _mm512_mullo_epi16(u, scale.s);  // two bytes at once: no product carries
  }
  MORAINE_INLINE static __m512i whole(const int32_t (*sums)[kTileRows][16], int row) {
    return _mm512_load_si512(sums[0][row]);
  }
};

// Q4_K and Q5_K: u is at most 31, and so is u times the scale's lower three bits, or its higher ones, at most
// 217.
struct ScaleInTwo {
  static constexpr int kPlanes = 2;
  static constexpr bool kSigned[] = {false, false};
  struct Scale {
    __m512i low, high;
  };
  MORAINE_INLINE static Scale prepare(__m512i scale) {
    const __m512i low = _mm512_and_si512(scale, _mm512_set1_epi32(7)), high = _mm512_srli_epi32(scale, 3);
    return {pairs(low, low), pairs(high, high)};
  }
  MORAINE_INLINE static void split(__m512i u, const Scale& scale, __m512i* const planes[]) {
    *planes[0] = _mm512_mullo_epi16(u, scale.low);
    *planes[1] = _mm512_mullo_epi16(u, scale.high);
  }
  MORAINE_INLINE static __m512i whole(const int32_t (*sums)[kTileRows][16], int row) {
    return _mm512_add_epi32(_mm512_load_si512(sums[0][row]),
                            _mm512_slli_epi32(_mm512_load_si512(sums[1][row]), 3));
  }
};

// Products of bytes with a signed scale, each an int16 of its own: those of even and of odd values.
struct Products {
  __m512i even, odd;
};
struct SignedScale {
  __m512i even, odd, offset;  // the last: times the offset
  template <int kOffset>
  MORAINE_INLINE static SignedScale of(__m512i scale) {
    const __m512i s = pairs(scale, scale);
    return {_mm512_and_si512(s, _mm512_set1_epi16(0x00ff)), _mm512_slli_epi16(s, 8),
            _mm512_mullo_epi16(s, _mm512_set1_epi16(kOffset))};
  }
  MORAINE_INLINE Products times(__m512i u) const {
    return {_mm512_maddubs_epi16(u, even), _mm512_maddubs_epi16(u, odd)};
  }
};
// The lower bytes of even values' int16 and of odd ones', side by side; or the higher ones.
MORAINE_INLINE __m512i low_bytes(const Products& p) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi16(0x00ff), p.even, _mm512_slli_epi16(p.odd, 8), 0xca);
}
MORAINE_INLINE __m512i high_bytes(const Products& p) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi16(0x00ff), _mm512_srli_epi16(p.even, 8), p.odd, 0xca);
}

// Q3_K: -4 to 3 times -32 to 31 is -124 to 128. So what is kept is its negative.
template <int kOffset>
struct MinusOneByte {
  static constexpr int kPlanes = 1;
  static constexpr bool kSigned[] = {true};
  using Scale = SignedScale;
  MORAINE_INLINE static Scale prepare(__m512i scale) { return SignedScale::of<kOffset>(scale); }
  MORAINE_INLINE static void split(__m512i u, const Scale& scale, __m512i* const planes[]) {
    const Products p = scale.times(u);
    *planes[0] = low_bytes({_mm512_sub_epi16(scale.offset, p.even), _mm512_sub_epi16(scale.offset, p.odd)});
  }
  MORAINE_INLINE static __m512i whole(const int32_t (*sums)[kTileRows][16], int row) {
    return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_load_si512(sums[0][row]));
  }
};

// Q6_K and IQ4_XS: the two bytes of an int16.
template <int kOffset>
struct TwoBytes {
  static constexpr int kPlanes = 2;
  static constexpr bool kSigned[] = {false, true};
  using Scale = SignedScale;
  MORAINE_INLINE static Scale prepare(__m512i scale) { return SignedScale::of<kOffset>(scale); }
  MORAINE_INLINE static void split(__m512i u, const Scale& scale, __m512i* const planes[]) {
    const Products p = scale.times(u);
    const Products less = {_mm512_sub_epi16(p.even, scale.offset), _mm512_sub_epi16(p.odd, scale.offset)};
    *planes[0] = low_bytes(less);
    *planes[1] = high_bytes(less);
  }
  MORAINE_INLINE static __m512i whole(const int32_t (*sums)[kTileRows][16], int row) {
    return _mm512_add_epi32(_mm512_load_si512(sums[0][row]),
                            _mm512_slli_epi32(_mm512_load_si512(sums[1][row]), 8));
  }
};

template <class F>
struct SplitOf;
template <>
struct SplitOf<avx512::Q2_K> : OneByte {};
template <>
struct SplitOf<avx512::Q3_K> : MinusOneByte<avx512::Q3_K::kOffset> {};
template <>
struct SplitOf<avx512::Q4_K> : ScaleInTwo {};
template <>
struct SplitOf<avx512::Q5_K> : ScaleInTwo {};
template <>
struct SplitOf<avx512::Q6_K> : TwoBytes<avx512::Q6_K::kOffset> {};
template <>
struct SplitOf<avx512::IQ4_XS> : TwoBytes<avx512::IQ4_XS::kOffset> {};

// A block of a pair of groups.
template <class F>
struct Panel {
  using Split = SplitOf<F>;
  // Mins multiply sums of activations, two by two: of 16, or of 32 where they span as many.
  static constexpr int kFactors = F::kScales / 2;

  avx512::Scales<F::kScales, F::kMins> scales;
  __m512i factors[kFactors];           // of the mins
  __m512i planes[Split::kPlanes][64];  // [16 steps of 4 values][16 rows], four tiles each

  // next: what will be unpacked after this.
  MORAINE_INLINE void unpack(const avx512::Pair& w, const avx512::Pair& next) {
    F::read(w, scales);
    if constexpr (F::kMins)
#pragma GCC unroll 8
      for (int i = 0; i < kFactors; ++i) factors[i] = pairs(scales.min[2 * i], scales.min[2 * i + 1]);
    avx512::for_each_part([&]<int j>() __attribute__((always_inline)) {
      __m512i u[8];
      fetch<j*(F::kBytes / 8), F::kBytes / 8>(next);
      F::template part<j>(w, u);
      constexpr int kHalves = F::kScales / 8, kSteps = 8 / kHalves;
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; ++h) {
        const auto scale = Split::prepare(scales.scale[kHalves * j + h]);
#pragma GCC unroll 8
        for (int i = h * kSteps; i < (h + 1) * kSteps; ++i) {
          __m512i* const to[] = {&planes[0][8 * j + i], &planes[Split::kPlanes - 1][8 * j + i]};
          Split::split(u[i], scale, to);
        }
      }
    });
  }
};

}  // namespace
}  // namespace moraine::cpu::amx
