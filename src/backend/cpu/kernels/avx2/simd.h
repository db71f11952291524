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

}  // namespace
}  // namespace moraine::cpu::avx2
