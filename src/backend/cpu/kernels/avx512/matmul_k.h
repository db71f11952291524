// Matrix products of formats with 256-value blocks by VNNI instructions: the loops. The formats: block256.h.
//
// A part's dot products are int32 at once; one multiplication by the part's integer scales, and they join the
// block's sum. Up to eight activation rows, or four: each part is unpacked in registers and used at once
// (`direct`). More: a whole block is unpacked into 4 KB of stack and used by all of them (`panel`), y
// carrying the sums from block to block. Both do the float operations of kernels/scalar/matmul.cpp, in its
// order. Anonymous namespace throughout: see simd.h.
#pragma once

#include "backend/cpu/kernels/avx512/block256.h"

namespace moraine::cpu::avx512 {
namespace {

// Activation rows, at most, that need no panel. With sixteen scales there are too few registers for more
// than 4.
template <class F>
constexpr int kFew = F::kScales == 8 ? 8 : 4;
constexpr int kTile = 8;                 // activation rows that share an unpacked weight
constexpr int kNear = 512, kFar = 2560;  // bytes ahead

// sum[m] += part j, whose quants are u, times the activations q.
template <class F, int kRows>
MORAINE_INLINE void add_part(const Scales<F::kScales, F::kMins>& s, const __m512i* u, int j, const int8_t* q,
                             int64_t q_stride, __m512i* sum) {
  constexpr int kHalves = F::kScales / 8, kSteps = 8 / kHalves;
#pragma GCC unroll 2
  for (int h = 0; h < kHalves; ++h) {
    __m512i dot[kRows];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) dot[m] = _mm512_setzero_si512();
    add_dot<kSteps, kRows>(u + h * kSteps, q + 4 * h * kSteps, q_stride, dot);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m)
      sum[m] = _mm512_add_epi32(sum[m], _mm512_mullo_epi32(dot[m], s.scale[kHalves * j + h]));
  }
}

// acc[m] += a block, whose products with the activations are dot[m], times scales but not less the offset.
template <class F, int kRows>
MORAINE_INLINE void finish(const Scales<F::kScales, F::kMins>& s, const __m512i* factors, __m512i* dot,
                           const Activations& x, __m512* acc) {
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    const int16_t* sums = x.sums + m * x.s_stride;
    __m512i mins = _mm512_setzero_si512();
    if constexpr (F::kMins)
      mins = add_sums(mins, factors, sums);
    else
      dot[m] = add_sums(dot[m], factors, sums);
    acc[m] = add_block<F>(s, dot[m], mins, x.d[m * x.d_stride], acc[m]);
  }
}

// kRows activation rows, all there are.
template <class F, int kRows>
void direct(const MatmulArgs& a) {
  for (int g = 0; g < a.n_groups; g += 2) {
    Pair w = pair_of(a, g);
    __m512 acc[kRows];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) acc[m] = _mm512_setzero_ps();
    for (int b = 0; b < a.k / 256; ++b, w = w + F::kBytes) {
      Scales<F::kScales, F::kMins> scales;
      F::read(w, scales);
      __m512i factors[8];
      sum_factors<F>(scales, factors);
      const Activations x = activations<256>(a.x, 0, b);
      __m512i dot[kRows];
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) dot[m] = _mm512_setzero_si512();
      for_each_part([&]<int j>() __attribute__((always_inline)) {
        __m512i u[8];
        prefetch<F::kBytes / 8, kNear, kFar>(w + j * (F::kBytes / 8));
        F::template part<j>(w, u);
        add_part<F, kRows>(scales, u, j, x.q + 32 * j, x.q_stride, dot);
      });
      finish<F, kRows>(scales, factors, dot, x, acc);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) _mm512_mask_storeu_ps(a.y + m * a.y_stride + 8 * g, w.lanes, acc[m]);
  }
}

template <class F>
struct Panel {
  Scales<F::kScales, F::kMins> scales;
  __m512i factors[8];
  __m512i u[8][8];

  MORAINE_INLINE void unpack(const Pair& w) {
    F::read(w, scales);
    sum_factors<F>(scales, factors);
    for_each_part([&]<int j>() __attribute__((always_inline)) {
      prefetch<F::kBytes / 8, kNear, kFar>(w + j * (F::kBytes / 8));
      F::template part<j>(w, u[j]);
    });
  }
};

// One unpacked block times rows m..m+kRows-1: added to what y holds or, with the first block, to nothing.
template <class F, int kRows>
MORAINE_INLINE void panel_tile(const MatmulArgs& a, const Panel<F>& p, __mmask16 lanes, int b, int g, int m) {
  float* y = a.y + m * a.y_stride + 8 * g;
  const Activations x = activations<256>(a.x, m, b);
  __m512i dot[kRows];
  __m512 acc[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) dot[i] = _mm512_setzero_si512();
  for (int j = 0; j < 8; ++j) add_part<F, kRows>(p.scales, p.u[j], j, x.q + 32 * j, x.q_stride, dot);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
    acc[i] = b == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, y + i * a.y_stride);
  finish<F, kRows>(p.scales, p.factors, dot, x, acc);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) _mm512_mask_storeu_ps(y + i * a.y_stride, lanes, acc[i]);
}

template <class F>
void panel(const MatmulArgs& a) {
  Panel<F> p;
  for (int g = 0; g < a.n_groups; g += 2)
    for (int b = 0; b < a.k / 256; ++b) {
      const Pair w = pair_of(a, g) + static_cast<int64_t>(b) * F::kBytes;
      p.unpack(w);
      for_row_tiles<kTile>(a.n_rows, [&]<int kRows>(int m) __attribute__((always_inline)) {
        panel_tile<F, kRows>(a, p, w.lanes, b, g, m);
      });
    }
}

template <class F, MatmulFn kOneRow = nullptr>
MORAINE_INLINE void matmul(const MatmulArgs& a) {
  one_few_or_many<kFew<F>, kOneRow>(
      a, [&]<int kRows>() __attribute__((always_inline)) { direct<F, kRows>(a); }, [&] { panel<F>(a); });
}

}  // namespace
}  // namespace moraine::cpu::avx512
