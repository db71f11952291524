// Small AVX2 helpers shared by the kernel files of this folder. Everything is in an anonymous
// namespace: an inline function with external linkage compiled here would be a weak symbol that the
// linker may keep for machines without AVX2 (a test reads the objects' symbols).
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace moraine::cpu::avx2 {
namespace {

#define MORAINE_INLINE [[gnu::always_inline, maybe_unused]] inline

MORAINE_INLINE __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
MORAINE_INLINE __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

// The four bytes at p (activations 4i..4i+3, or two sums) in every lane.
MORAINE_INLINE __m256i broadcast4(const void* p) {
  int32_t v;
  memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}

// Eight halves as floats.
MORAINE_INLINE __m256 load_halves(const void* p) { return _mm256_cvtph_ps(load128(p)); }

// Lanes 0..n-1 all ones, for the masked loads of a row's tail; 0 <= n <= 8.
MORAINE_INLINE __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

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

// int16 pairs to int32 sums.
MORAINE_INLINE __m256i pair_sums(__m256i v) { return _mm256_madd_epi16(v, _mm256_set1_epi16(1)); }

// Fetches the bytes [p + ahead, p + ahead + n) towards the first-level cache. Weights are read once a
// call, in address order; asking 2 KB early hides what the hardware prefetcher misses at page ends.
template <int n>
MORAINE_INLINE void prefetch(const uint8_t* p) {
  constexpr int kAhead = 2048;
#pragma GCC unroll 32
  for (int i = 0; i < n; i += 64) _mm_prefetch(reinterpret_cast<const char*>(p + kAhead + i), _MM_HINT_T0);
}

}  // namespace
}  // namespace moraine::cpu::avx2
