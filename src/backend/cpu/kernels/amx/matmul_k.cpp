// Matrix products of formats with 256-value blocks by tiles. The formats: ../avx512/block256.h.
//
// A tile multiplies bytes over 64 values at once, more than a scale spans. So the integer scales go into the
// weights first: (u - offset) * scale has at most 13 bits and becomes two planes of bytes, low and 256 times
// high, each a tile of its own; a whole block is then four products of each plane, and the sums are the exact
// int32 of kernels/scalar/matmul.cpp. One block of sixteen weight rows is unpacked into 8 KB and used by all
// activation rows, which are read as they lie; y carries the sums from block to block.
#include "backend/cpu/kernels/amx/kernels.h"
#include "backend/cpu/kernels/amx/tiles.h"
#include "backend/cpu/kernels/avx512/block256.h"
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::amx {
namespace {

using namespace avx512;

template <class F>
struct Panel {
  Scales<F::kScales, F::kMins> scales;
  __m512i factors[8];         // of the mins
  __m512i low[64], high[64];  // [16 steps of 4 values][16 rows], four tiles each

  MORAINE_INLINE void unpack(const Pair& w) {
    F::read(w, scales);
    if constexpr (F::kMins) sum_factors<F>(scales, factors);
    for_each_part([&]<int j>() __attribute__((always_inline)) {
      __m512i u[8];
      prefetch<F::kBytes / 8>(w + j * (F::kBytes / 8));
      F::template part<j>(w, u);
      constexpr int kHalves = F::kScales / 8;
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        const __m512i scale = scales.scale[kHalves * j + (kHalves == 2 && i >= 4)];
        fold(u[i], pairs(scale, scale), low[8 * j + i], high[8 * j + i]);
      }
    });
  }

  MORAINE_INLINE static void fold(__m512i u, __m512i scale, __m512i& low, __m512i& high) {
    const __m512i bytes = _mm512_set1_epi16(0x00ff), offset = _mm512_set1_epi16(F::kOffset);
    const __m512i even = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_and_si512(u, bytes), offset), scale);
    const __m512i odd = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_srli_epi16(u, 8), offset), scale);
    constexpr int kSelect = 0xca;  // the first chooses among the others, bit by bit
    low = _mm512_ternarylogic_epi32(bytes, even, _mm512_slli_epi16(odd, 8), kSelect);
    high = _mm512_ternarylogic_epi32(bytes, _mm512_srli_epi16(even, 8), odd, kSelect);
  }
};

// Exact sums of a tile of rows: low + 256 * high.
struct Sums {
  Rows rows;
  alignas(64) int32_t low[kTileRows][16], high[kTileRows][16];
};

// What a block of a pair of groups is multiplied by and added to.
struct Place {
  int g, b;
  __mmask16 lanes;
};

// Rows begin..begin+3 of s, scaled and added to what y holds or, with the first block, to nothing.
template <class F>
MORAINE_INLINE void finish(const MatmulArgs& a, const Panel<F>& p, const Place& at, const Sums& s,
                           int begin) {
  const Activations x = activations<256>(a.x, s.rows.m, at.b);
  float* y = a.y + s.rows.m * a.y_stride + 8 * at.g;
  const int end = begin + 4 < s.rows.n ? begin + 4 : s.rows.n;
  for (int i = begin; i < end; ++i) {
    const __m512i dot =
        _mm512_add_epi32(_mm512_load_si512(s.low[i]), _mm512_slli_epi32(_mm512_load_si512(s.high[i]), 8));
    __m512i mins = _mm512_setzero_si512();
    if constexpr (F::kMins) mins = add_sums(mins, p.factors, x.sums + i * x.s_stride);
    const __m512 acc = at.b == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(at.lanes, y + i * a.y_stride);
    _mm512_mask_storeu_ps(y + i * a.y_stride, at.lanes,
                          add_block<F>(p.scales, dot, mins, x.d[i * x.d_stride], acc));
  }
}

// The sums of `rows` into `now`, while `before` is finished. kOdd: of every other tile of rows.
template <class F, int kOdd>
MORAINE_INLINE void multiply(const MatmulArgs& a, Tiles& tiles, const Panel<F>& p, const Place& at, Rows rows,
                             Sums& now, const Sums& before) {
  int8_t copy[kTileRows][256];
  const Quants x = whole_tile(activations<256>(a.x, rows.m, at.b), rows.n, 256, copy);
  constexpr int kLow = kSums + 2 * kOdd, kHigh = kLow + 1;
  tiles.zero<kLow>();
  tiles.zero<kHigh>();
#pragma GCC unroll 4
  for (int t = 0; t < 4; ++t) {
    tiles.load<kX + kOdd>(x.q + 64 * t, x.stride);
    tiles.load<kWeights>(p.low + 16 * t, 64);
    tiles.add_unsigned<kLow, kX + kOdd, kWeights>();
    tiles.load<kWeights + 1>(p.high + 16 * t, 64);
    tiles.add_signed<kHigh, kX + kOdd, kWeights + 1>();
    finish(a, p, at, before, 4 * t);
  }
  tiles.store<kLow>(now.low, 64);
  tiles.store<kHigh>(now.high, 64);
  now.rows = rows;
}

template <class F>
void matmul(const MatmulArgs& a) {
  Tiles tiles(64);
  Panel<F> p;
  Sums even, odd;
  for (int g = 0; g < a.n_groups; g += 2)
    for (int b = 0; b < a.k / 256; ++b) {
      const Pair w = pair_of(a, g) + static_cast<int64_t>(b) * F::kBytes;
      p.unpack(w);
      const Place at = {g, b, w.lanes};
      even.rows = odd.rows = {};
      int m = 0;
      for (; m < a.n_rows; m += kTileRows) {
        const Rows rows = {m, a.n_rows - m < kTileRows ? a.n_rows - m : kTileRows};
        if (m / kTileRows % 2 == 0)
          multiply<F, 0>(a, tiles, p, at, rows, even, odd);
        else
          multiply<F, 1>(a, tiles, p, at, rows, odd, even);
      }
      const Sums& last = m / kTileRows % 2 ? even : odd;
      for (int i = 0; i < kTileRows; i += 4) finish(a, p, at, last, i);
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
