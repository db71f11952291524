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

// Dot products of u8 weights with s8 activations, 8 rows x 32 values: u[i] holds values 4i..4i+3 of
// each row. Sums of neighbouring pairs, int16: 8 steps of 15 * 127 * 2 fit, 4 of 31 and 2 of 63.
template <int kSteps>
MORAINE_INLINE __m256i dot_u8(const __m256i* u, const int8_t* q) {
  __m256i sum = _mm256_maddubs_epi16(u[0], broadcast4(q));
#pragma GCC unroll 8
  for (int i = 1; i < kSteps; ++i)
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(u[i], broadcast4(q + 4 * i)));
  return sum;
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
