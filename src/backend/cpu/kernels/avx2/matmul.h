// What the matmul kernels of the block formats share: a tile's activations, and dot products of unpacked
// weights. Anonymous namespace throughout: see simd.h.
#pragma once

#include "backend/cpu/kernels/avx2/simd.h"
#include "backend/cpu/kernels/row_tiles.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr int kTile = 4;  // activation rows that share an unpacked weight

MORAINE_INLINE __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
MORAINE_INLINE __m256i high_nibbles(__m256i v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

// Makes GCC compute v here. Left alone it puts off the additions of several sums side by side until all
// their products lie spilled on the stack.
MORAINE_INLINE void pin(__m256i& v) { asm("" : "+x"(v)); }

// Dot products of u8 weights with s8 activations: 8 weight rows x 4 kSteps values, for kRows activation
// rows. u[i] holds values 4i..4i+3 of each weight row. sum: of neighbouring pairs, int16, which 8 steps of
// 15 * 127 * 2 fit, 4 of 31 and 2 of 63. Activation rows are innermost: independent chains side by side,
// and each u[i] is needed in a register only once.
template <int kSteps, int kRows>
MORAINE_INLINE void dot_u8(const __m256i* u, const int8_t* q, int64_t q_stride, __m256i* sum) {
#pragma GCC unroll 8
  for (int i = 0; i < kSteps; ++i)
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) {
      const __m256i products = _mm256_maddubs_epi16(u[i], broadcast4(q + m * q_stride + 4 * i));
      sum[m] = i == 0 ? products : _mm256_add_epi16(sum[m], products);
      pin(sum[m]);
    }
}

// The same for weights of eight bits, as two planes of nibbles, w = low + 16 * high, over 32 values: both
// planes at each step, so that a broadcast serves two products.
template <int kRows>
MORAINE_INLINE void dot_planes(const __m256i* low, const __m256i* high, const int8_t* q, int64_t q_stride,
                               __m256i* low_sum, __m256i* high_sum) {
#pragma GCC unroll 8
  for (int s = 0; s < 8; ++s)
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) {
      const __m256i x = broadcast4(q + m * q_stride + 4 * s);
      const __m256i l = _mm256_maddubs_epi16(low[s], x), h = _mm256_maddubs_epi16(high[s], x);
      low_sum[m] = s == 0 ? l : _mm256_add_epi16(low_sum[m], l);
      high_sum[m] = s == 0 ? h : _mm256_add_epi16(high_sum[m], h);
      pin(low_sum[m]);
      pin(high_sum[m]);
    }
}

// int16 pairs to int32 sums.
MORAINE_INLINE __m256i pair_sums(__m256i v) { return _mm256_madd_epi16(v, _mm256_set1_epi16(1)); }

// Fetches n bytes, some that come soon towards the first-level cache and some further away towards the
// second. Weights are read once a call, in address order; asking early hides what the hardware prefetcher
// misses at page ends, and asking twice gains 2 to 12% of one row's speed.
template <int n>
MORAINE_INLINE void prefetch(const uint8_t* p) {
  constexpr int kNear = 1024, kFar = 4096;
#pragma GCC unroll 32
  for (int i = 0; i < n; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(p + kNear + i), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(p + kFar + i), _MM_HINT_T1);
  }
}

}  // namespace
}  // namespace moraine::cpu::avx2
