// Matrix products of formats with 256-value blocks: the loops that all of them share. A format gives its
// bytes and their unpacking: matmul_k.cpp, matmul_k23.cpp, matmul_iq4_xs.cpp.
//
// The eight rows of a group are the eight lanes. A block is eight parts of 32 values; a part's dot
// products stay 16 bits wide until one multiplication by the part's integer scales widens them. Up to four
// activation rows: each part is unpacked in registers and used at once (`direct`). More: a whole block is
// unpacked into 2 KB of stack and used by all of them (`panel`), y carrying the sums from block to block.
// Both do the float operations of kernels/scalar/matmul.cpp, in its order.
// Anonymous namespace throughout: see simd.h.
#pragma once

#include "backend/cpu/kernels/avx2/matmul.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr int kParts = 8;

// Shifts bits up (left > 0) or down and keeps those of `mask` in each byte.
template <int kLeft>
MORAINE_INLINE __m256i shift_bits(__m256i v, int mask) {
  if constexpr (kLeft > 0) v = _mm256_slli_epi16(v, kLeft);
  if constexpr (kLeft < 0) v = _mm256_srli_epi16(v, -kLeft);
  return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
}

// sum[m] += scale * (u . q[m]), for kSteps steps of 4 values.
template <int kSteps, int kRows>
MORAINE_INLINE void add_scaled(const __m256i* u, const int8_t* q, int64_t q_stride, __m256i scale,
                               __m256i* sum) {
  __m256i dot[kRows];
  dot_u8<kSteps, kRows>(u, q, q_stride, dot);
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) sum[m] = _mm256_add_epi32(sum[m], _mm256_madd_epi16(dot[m], scale));
}

// Bytes [4 sub-blocks][8 rows] to int16 pairs: sub-block j's twice, or 2i's and 2i+1's side by side.
template <int j>
MORAINE_INLINE __m256i twice(__m256i bytes) {
  const __m256i rows = _mm256_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1,  //
                                        4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
  return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(bytes, j * 0x55), rows);
}
template <int i>
MORAINE_INLINE __m256i side_by_side(__m256i bytes) {
  const __m256i rows = _mm256_setr_epi8(0, -1, 8, -1, 1, -1, 9, -1, 2, -1, 10, -1, 3, -1, 11, -1,  //
                                        4, -1, 12, -1, 5, -1, 13, -1, 6, -1, 14, -1, 7, -1, 15, -1);
  return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(bytes, i == 0 ? 0x44 : 0xee), rows);
}

// Low six bits from 4-bit fields L[4][8] and 2-bit fields H[2][8] (layout.h): bytes [8 sub-blocks][8 rows].
MORAINE_INLINE void six_bits(const uint8_t* p, __m256i out[2]) {
  const __m256i low = load(p);
  const __m256i to_bits_4_5 = _mm256_setr_epi64x(4, 2, 0, 0), down = _mm256_setr_epi64x(0, 0, 0, 2);
#pragma GCC unroll 2
  for (int t = 0; t < 2; ++t) {
    int64_t bits;
    memcpy(&bits, p + 32 + 8 * t, 8);
    const __m256i high = _mm256_srlv_epi64(_mm256_sllv_epi64(_mm256_set1_epi64x(bits), to_bits_4_5), down);
    out[t] = _mm256_or_si256(t == 0 ? low_nibbles(low) : high_nibbles(low),
                             _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
  }
}

// The sum of scale[j] * sums[j] over sixteen sub-blocks: what an offset of one adds to a block's dot product.
MORAINE_INLINE __m256i scaled_sums(const __m256i scale[16], const int16_t* sums) {
  __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int j = 0; j < 16; j += 2) {
    const __m256i pair = _mm256_blend_epi16(scale[j], scale[j + 1], 0xaa);
    total = _mm256_add_epi32(total, _mm256_madd_epi16(pair, broadcast4(sums + j)));
  }
  return total;
}

// A format provides: kBytes of a block of the group; kVectors of an unpacked part; Scales, what a block needs
// besides its quants; part<j>(): the unpacked vectors of part j; add(): one part times kRows activation
// blocks, scaled, added to int32 sums; Scales::add(): a block's sum turned to float and added to acc.

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

// acc[m] += the block's dot[m], scaled.
template <class F, int kRows>
MORAINE_INLINE void finish(const typename F::Scales& scales, const __m256i* dot, const Activations& x,
                           __m256* acc) {
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m)
    acc[m] = scales.add(dot[m], x.sums + m * x.s_stride, _mm256_broadcast_ss(x.d + m * x.d_stride), acc[m]);
}

// kRows activation rows, all there are.
template <class F, int kRows>
void direct(const MatmulArgs& a) {
  for (int g = 0; g < a.n_groups; ++g) {
    const uint8_t* w = a.w + g * a.group_bytes;
    __m256 acc[kRows];
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) acc[m] = _mm256_setzero_ps();
    for (int b = 0; b < a.k / 256; ++b, w += F::kBytes) {
      typename F::Scales scales;
      scales.read(w);
      const Activations x = activations<256>(a.x, 0, b);
      __m256i dot[kRows];
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m) dot[m] = _mm256_setzero_si256();
      for_each_part([&]<int j>() __attribute__((always_inline)) {
        __m256i u[F::kVectors];
        prefetch<F::kBytes / kParts>(w + j * (F::kBytes / kParts));
        F::template part<j>(w, u);
        F::template add<kRows>(u, x.q + 32 * j, x.q_stride, scales, j, dot);
      });
      finish<F, kRows>(scales, dot, x, acc);
    }
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) _mm256_storeu_ps(a.y + m * a.y_stride + 8 * g, acc[m]);
  }
}

// One unpacked block times rows m..m+kRows-1: added to what y holds or, with the first block, to nothing.
template <class F, int kRows>
MORAINE_INLINE void panel_tile(const MatmulArgs& a, const __m256i (&u)[kParts][F::kVectors],
                               const typename F::Scales& scales, int b, int g, int m) {
  float* y = a.y + m * a.y_stride + 8 * g;
  const Activations x = activations<256>(a.x, m, b);
  __m256i dot[kRows];
  __m256 acc[kRows];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    dot[i] = _mm256_setzero_si256();
    acc[i] = b == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(y + i * a.y_stride);
  }
  for (int j = 0; j < kParts; ++j) F::template add<kRows>(u[j], x.q + 32 * j, x.q_stride, scales, j, dot);
  finish<F, kRows>(scales, dot, x, acc);
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) _mm256_storeu_ps(y + i * a.y_stride, acc[i]);
}

template <class F>
void panel(const MatmulArgs& a) {
  typename F::Scales scales;
  __m256i u[kParts][F::kVectors];
  for (int g = 0; g < a.n_groups; ++g)
    for (int b = 0; b < a.k / 256; ++b) {
      const uint8_t* w = a.w + g * a.group_bytes + static_cast<int64_t>(b) * F::kBytes;
      scales.read(w);
      for_each_part([&]<int j>() __attribute__((always_inline)) {
        prefetch<F::kBytes / kParts>(w + j * (F::kBytes / kParts));
        F::template part<j>(w, u[j]);
      });
      for_row_tiles<kTile>(a.n_rows, [&]<int kRows>(int m) __attribute__((always_inline)) {
        panel_tile<F, kRows>(a, u, scales, b, g, m);
      });
    }
}

template <class F>
MORAINE_INLINE void matmul(const MatmulArgs& a) {
  few_or_many<4>(
      a.n_rows, [&]<int kRows>() __attribute__((always_inline)) { direct<F, kRows>(a); },
      [&] { panel<F>(a); });
}

}  // namespace
}  // namespace moraine::cpu::avx2
