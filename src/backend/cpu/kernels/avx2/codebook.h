// Looking up four-bit codes, for the formats whose quants are places in a table of 16 values: IQ4_NL and
// MXFP4 (matmul_codebook.cpp), IQ4_XS (matmul_iq4_xs.cpp). The tables: quant/layout.h. Anonymous namespace
// throughout: see simd.h.
#pragma once

#include "backend/cpu/kernels/avx2/matmul.h"
#include "quant/layout.h"

namespace moraine::cpu::avx2 {
namespace {

// table[code] + offset in both lanes' 16 places.
MORAINE_INLINE __m256i codebook(const int8_t (&table)[16], int offset) {
  return _mm256_add_epi8(_mm256_broadcastsi128_si256(load128(table)),
                         _mm256_set1_epi8(static_cast<char>(offset)));
}

// 32 codes in 4 steps at w, looked up: values 4s..4s+3 of the rows in u[s], 16+4s.. in u[4 + s].
MORAINE_INLINE void look_up(__m256i table, const uint8_t* w, __m256i* u) {
#pragma GCC unroll 4
  for (int s = 0; s < 4; ++s) {
    const __m256i v = load(w + 32 * s);
    u[s] = _mm256_shuffle_epi8(table, low_nibbles(v));
    u[4 + s] = _mm256_shuffle_epi8(table, high_nibbles(v));
  }
}

// kIq4Values plus 128, as two planes of nibbles (dot_planes).
struct Iq4Planes {
  __m256i low, high;
  MORAINE_INLINE Iq4Planes() {
    const __m256i bytes = codebook(quant::kIq4Values, -128);
    low = low_nibbles(bytes);
    high = high_nibbles(bytes);
  }
  // 32 codes in 4 steps at w.
  MORAINE_INLINE void look_up(const uint8_t* w, __m256i* low_plane, __m256i* high_plane) const {
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const __m256i v = load(w + 32 * s);
      const __m256i first = low_nibbles(v), second = high_nibbles(v);
      low_plane[s] = _mm256_shuffle_epi8(low, first);
      high_plane[s] = _mm256_shuffle_epi8(high, first);
      low_plane[4 + s] = _mm256_shuffle_epi8(low, second);
      high_plane[4 + s] = _mm256_shuffle_epi8(high, second);
    }
  }
};

}  // namespace
}  // namespace moraine::cpu::avx2
