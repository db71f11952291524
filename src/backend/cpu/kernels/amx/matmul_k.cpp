// Matrix products of formats with 256-value blocks by tiles. The formats: ../avx512/block256.h.
//
// A tile multiplies bytes over 64 values at once, more than a scale spans. So the integer scales go into the
// weights first: (u - offset) * scale has at most 13 bits and becomes two planes of bytes, low and 256 times
// high, each a tile of its own; a block is then four products of each plane, and the sums are the exact int32
// of kernels/scalar/matmul.cpp.
//
// A block's activations are packed first: as they lie, rows fall on a few sets of the first-level cache. Then
// sixteen weight rows after the other are unpacked into 8 KB and meet all of them, 64 rows at a time: the
// tile unit multiplies them two tiles by two planes, the vector unit scales what came out; y carries the sums
// from block to block. (The two units side by side, some rows' sums scaled between others' products, were
// slower.)
#include "backend/cpu/kernels/amx/kernels.h"
#include "backend/cpu/kernels/amx/tiles.h"
#include "backend/cpu/kernels/avx512/block256.h"
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::amx {
namespace {

using namespace avx512;

constexpr int kWidth = 256;

// Mins multiply sums of activations, two by two: of 16, or of 32 where they span as many.
template <class F>
constexpr int kFactors = F::kScales / 2;

template <class F>
struct Panel {
  Scales<F::kScales, F::kMins> scales;
  __m512i factors[kFactors<F>];  // of the mins
  __m512i low[64], high[64];     // [16 steps of 4 values][16 rows], four tiles each

  // next: what will be unpacked after this.
  MORAINE_INLINE void unpack(const Pair& w, const Pair& next) {
    F::read(w, scales);
    if constexpr (F::kMins)
#pragma GCC unroll 8
      for (int i = 0; i < kFactors<F>; ++i) factors[i] = pairs(scales.min[2 * i], scales.min[2 * i + 1]);
    for_each_part([&]<int j>() __attribute__((always_inline)) {
      __m512i u[8];
      fetch<j*(F::kBytes / 8), F::kBytes / 8>(next);
      F::template part<j>(w, u);
      constexpr int kHalves = F::kScales / 8;
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i)
        fold(u[i], scales.scale[kHalves * j + (kHalves == 2 && i >= 4)], low[8 * j + i], high[8 * j + i]);
    });
  }

  // (u - offset) * scale, a byte's product being an int16 of its own.
  MORAINE_INLINE static void fold(__m512i u, __m512i scale, __m512i& low, __m512i& high) {
    const __m512i bytes = _mm512_set1_epi16(0x00ff), s = pairs(scale, scale);
    const __m512i less = _mm512_mullo_epi16(s, _mm512_set1_epi16(F::kOffset));
    const auto times = [&](__m512i factors) __attribute__((always_inline)) {
      const __m512i products = _mm512_maddubs_epi16(u, factors);
      return F::kOffset == 0 ? products : _mm512_sub_epi16(products, less);
    };
    const __m512i even = times(_mm512_and_si512(s, bytes)), odd = times(_mm512_slli_epi16(s, 8));
    constexpr int kSelect = 0xca;  // the first chooses among the others, bit by bit
    low = _mm512_ternarylogic_epi32(bytes, even, _mm512_slli_epi16(odd, 8), kSelect);
    high = _mm512_ternarylogic_epi32(bytes, _mm512_srli_epi16(even, 8), odd, kSelect);
  }
};

// A block's activations.
struct Packed {
  alignas(64) int8_t q[kPackedRows][kWidth];
  alignas(32) int16_t sums[kPackedRows][16];  // for the factors
};

template <class F>
void pack(const MatmulArgs& a, int m, int n_rows, int b, Packed& to) {
  pack<kWidth>(a.x, m, n_rows, b, to.q);
  if constexpr (!F::kMins) return;
  const int16_t* sums = a.x.sums + m * a.x.s_stride + kWidth / 16 * b;
  for (int i = 0; i < n_rows; ++i, sums += a.x.s_stride) {
    __m256i s = load256(sums);
    if constexpr (F::kScales == 8) {
      s = _mm256_madd_epi16(s, _mm256_set1_epi16(1));
      s = _mm256_castsi128_si256(_mm_packs_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(to.sums[i]), s);
  }
}

constexpr int kRows = 64;  // of activations between two looks at their sums

// Exact sums: low + 256 * high.
struct Sums {
  alignas(64) int32_t low[kRows][16], high[kRows][16];
};

// What a block of a pair of groups is multiplied by and added to.
struct Place {
  int g, b;
  __mmask16 lanes;
};

// The sums of the 32 packed rows at x, or of 16.
template <class F, bool kTwo>
MORAINE_INLINE void multiply(TileUnit& tiles, const Panel<F>& p, const int8_t (*x)[kWidth],
                             int32_t (*low)[16], int32_t (*high)[16]) {
  constexpr int kLow = kSums, kHigh = kSums + 1, kLow2 = kSums + 2, kHigh2 = kSums + 3;
  tiles.zero<kLow>();
  tiles.zero<kHigh>();
  if constexpr (kTwo) tiles.zero<kLow2>(), tiles.zero<kHigh2>();
#pragma GCC unroll 4
  for (int t = 0; t < 4; ++t) {
    tiles.load<kX>(x[0] + 64 * t, kWidth);
    tiles.load<kWeights>(p.low + 16 * t, 64);
    tiles.load<kWeights + 1>(p.high + 16 * t, 64);
    if constexpr (kTwo) tiles.load<kX + 1>(x[kTileRows] + 64 * t, kWidth);
    tiles.add_unsigned<kLow, kX, kWeights>();
    tiles.add_signed<kHigh, kX, kWeights + 1>();
    if constexpr (kTwo) {
      tiles.add_unsigned<kLow2, kX + 1, kWeights>();
      tiles.add_signed<kHigh2, kX + 1, kWeights + 1>();
    }
  }
  tiles.store<kLow>(low, 64);
  tiles.store<kHigh>(high, 64);
  if constexpr (kTwo) {
    tiles.store<kLow2>(low + kTileRows, 64);
    tiles.store<kHigh2>(high + kTileRows, 64);
  }
}

// n_rows from m, scaled and added to what y holds or, with the first block, to nothing.
template <class F>
MORAINE_INLINE void finish(const MatmulArgs& a, const Panel<F>& p, const Place& at, const Sums& s,
                           const int16_t (*sums)[16], int m, int n_rows) {
  const Activations x = activations<kWidth>(a.x, m, at.b);
  float* y = a.y + m * a.y_stride + 8 * at.g;
  const __mmask16 carried = at.b == 0 ? 0 : at.lanes;
#pragma GCC unroll 2
  for (int i = 0; i < n_rows; ++i) {
    const __m512i dot =
        _mm512_add_epi32(_mm512_load_si512(s.low[i]), _mm512_slli_epi32(_mm512_load_si512(s.high[i]), 8));
    __m512i mins = _mm512_setzero_si512();
    if constexpr (F::kMins)
#pragma GCC unroll 8
      for (int j = 0; j < kFactors<F>; ++j)
        mins = _mm512_dpwssd_epi32(mins, p.factors[j], broadcast4(sums[i] + 2 * j));
    const __m512 acc = _mm512_maskz_loadu_ps(carried, y + i * a.y_stride);
    _mm512_mask_storeu_ps(y + i * a.y_stride, at.lanes,
                          add_block<F>(p.scales, dot, mins, x.d[i * x.d_stride], acc));
  }
}

// A pair of groups times the rows from m, which are packed.
template <class F>
MORAINE_INLINE void multiply_all(const MatmulArgs& a, TileUnit& tiles, const Panel<F>& p, const Place& at,
                                 const Packed& x, int m, int n_rows) {
  Sums s;
  for (int i = 0; i < n_rows; i += kRows) {
    const int n = n_rows - i < kRows ? n_rows - i : kRows;
    int r = 0;
    for (; r + kTileRows < n; r += 2 * kTileRows)
      multiply<F, true>(tiles, p, x.q + i + r, s.low + r, s.high + r);
    if (r < n) multiply<F, false>(tiles, p, x.q + i + r, s.low + r, s.high + r);
    finish(a, p, at, s, x.sums + i, m + i, n);
  }
}

template <class F>
void matmul(const MatmulArgs& a, MatmulFn without) {
  if (a.n_rows < kLeastRows) return without(a);
  TileUnit tiles(shapes(64, kTileRows));
  Panel<F> p;
  Packed x;
  const int n_blocks = a.k / kWidth;
  const auto weights = [&](int g, int b) { return pair_of(a, g) + static_cast<int64_t>(b) * F::kBytes; };
  for (int m = 0; m < a.n_rows; m += kPackedRows) {
    const int n_rows = a.n_rows - m < kPackedRows ? a.n_rows - m : kPackedRows;
    for (int first = 0; first < a.n_groups; first += kPackedGroups) {
      const int end = first + kPackedGroups < a.n_groups ? first + kPackedGroups : a.n_groups;
      for (int b = 0; b < n_blocks; ++b) {
        pack<F>(a, m, n_rows, b, x);
        for (int g = first; g < end; g += 2) {
          const Pair w = weights(g, b);
          p.unpack(w, g + 2 < end ? weights(g + 2, b) : weights(first, b + 1));
          multiply_all<F>(a, tiles, p, {g, b, w.lanes}, x, m, n_rows);
        }
      }
    }
  }
}

}  // namespace

MORAINE_AMX_MATMUL(matmul_q2_k, Q2_K)
MORAINE_AMX_MATMUL(matmul_q3_k, Q3_K)
MORAINE_AMX_MATMUL(matmul_q4_k, Q4_K)
MORAINE_AMX_MATMUL(matmul_q5_k, Q5_K)
MORAINE_AMX_MATMUL(matmul_q6_k, Q6_K)
MORAINE_AMX_MATMUL(matmul_iq4_xs, IQ4_XS)

}  // namespace moraine::cpu::amx
