// Small AVX-512 helpers shared by the kernel files of this folder and of ../amx. Two groups of eight weight
// rows lie side by side as the sixteen lanes of a register. Everything is in an anonymous namespace: an
// inline function with external linkage compiled here would be a weak symbol that the linker may keep for
// machines without AVX-512 (a test reads the objects' symbols).
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "backend/cpu/kernels/row_tiles.h"
#ifdef MORAINE_EMULATED
#include "backend/cpu/kernels/emulated/avx512.h"
#endif

namespace moraine::cpu::avx512 {
namespace {

#define MORAINE_INLINE [[gnu::always_inline, maybe_unused]] inline

MORAINE_INLINE __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
MORAINE_INLINE __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// The four bytes at p (activations 4i..4i+3, or two sums) in every lane.
MORAINE_INLINE __m512i broadcast4(const void* p) {
  int32_t v;
  memcpy(&v, p, 4);
  return _mm512_set1_epi32(v);
}

// Two groups at some place: rows 0 to 7 of each. After the last group of an odd number the same one stands
// twice, and `lanes` keeps the second from being stored.
struct Pair {
  const uint8_t *w0, *w1;
  __mmask16 lanes;

  MORAINE_INLINE Pair operator+(int64_t bytes) const { return {w0 + bytes, w1 + bytes, lanes}; }
};

MORAINE_INLINE Pair pair_of(const MatmulArgs& a, int g) {
  const uint8_t* w = a.w + g * a.group_bytes;
  if (g + 1 < a.n_groups) return {w, w + a.group_bytes, 0xffff};
  return {w, w, 0x00ff};
}

// 32 bytes, a step, of both groups.
MORAINE_INLINE __m512i load_step(const Pair& w) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(load256(w.w0)), load256(w.w1), 1);
}

// Eight halves of both groups as floats.
MORAINE_INLINE __m512 load_halves(const Pair& w) {
  return _mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(load128(w.w0)), load128(w.w1), 1));
}

// Eight bytes, one for each row, of both groups.
MORAINE_INLINE __m128i load_row_bytes(const Pair& w) {
  return _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w.w0)),
                            _mm_loadl_epi64(reinterpret_cast<const __m128i*>(w.w1)));
}

MORAINE_INLINE __m512i low_nibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
MORAINE_INLINE __m512i high_nibbles(__m512i v) { return low_nibbles(_mm512_srli_epi16(v, 4)); }

// Shifts bits up (left > 0) or down and keeps those of `mask` in each byte.
template <int kLeft>
MORAINE_INLINE __m512i shift_bits(__m512i v, int mask) {
  if constexpr (kLeft > 0) v = _mm512_slli_epi16(v, kLeft);
  if constexpr (kLeft < 0) v = _mm512_srli_epi16(v, -kLeft);
  return _mm512_and_si512(v, _mm512_set1_epi8(static_cast<char>(mask)));
}

// Fetches n bytes of both groups, kNear bytes ahead towards the first-level cache and kFar ahead towards the
// second. Weights are read once a call, in address order; asking early hides what the hardware prefetcher
// misses at page ends.
template <int n, int kNear, int kFar>
MORAINE_INLINE void prefetch(const Pair& w) {
  const auto* w0 = reinterpret_cast<const char*>(w.w0);
  const auto* w1 = reinterpret_cast<const char*>(w.w1);
#pragma GCC unroll 32
  for (int i = 0; i < n; i += 64) {
    _mm_prefetch(w0 + kNear + i, _MM_HINT_T0);
    _mm_prefetch(w1 + kNear + i, _MM_HINT_T0);
    _mm_prefetch(w0 + kFar + i, _MM_HINT_T1);
    _mm_prefetch(w1 + kFar + i, _MM_HINT_T1);
  }
}

// Adds to sum[m] the dot products of unsigned weights and signed activations: 16 weight rows x 4 kSteps
// values, u[i] values 4i..4i+3 of each, for kRows activation rows. Activation rows are innermost:
// independent chains side by side, and each u[i] is needed in a register only once.
template <int kSteps, int kRows>
MORAINE_INLINE void add_dot(const __m512i* u, const int8_t* q, int64_t q_stride, __m512i* sum) {
#pragma GCC unroll 8
  for (int i = 0; i < kSteps; ++i)
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m)
      sum[m] = _mm512_dpbusd_epi32(sum[m], u[i], broadcast4(q + m * q_stride + 4 * i));
}

// As few_or_many, but a single row goes to kOneRow, AVX2's kernel, if that is not null: such a product is
// bound by memory, which one group at a time reads faster than two, but for formats whose unpacking takes
// longer yet.
template <int kFew, MatmulFn kOneRow, class Few, class Many>
MORAINE_INLINE void one_few_or_many(const MatmulArgs& a, Few few, Many many) {
  if constexpr (kOneRow != nullptr)
    if (a.n_rows == 1) return kOneRow(a);
  few_or_many<kFew>(a.n_rows, few, many);
}

}  // namespace
}  // namespace moraine::cpu::avx512
