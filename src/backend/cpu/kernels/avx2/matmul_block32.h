// Matrix products of formats with 32-value blocks: the loops that all of them share. A format gives its
// bytes, their unpacking and one block's product: matmul_block32.cpp, matmul_codebook.cpp.
//
// The eight rows of a group are the eight lanes. Work goes in chunks of eight blocks (256 values). Up to
// four activation rows: each block is unpacked in registers and used at once (`direct`). More: a chunk is
// unpacked once into 2 KB of stack and used by all of them (`panel`), y carrying the sums from chunk to
// chunk. Both do the float operations of kernels/scalar/matmul.cpp, in its order.
//
// What a format provides: kBytes of a block of the group; Block, one unpacked; unpack(); correction(): from
// the sums and scales of eight activation blocks, a term of each that is the same for all rows; dot(): one
// block times kRows activation blocks, exact; and add(): one dot product scaled and added to acc. Anonymous
// namespace throughout: see simd.h.
#pragma once

#include "backend/cpu/kernels/avx2/matmul.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr int kChunk = 8;  // blocks

// Unpacked blocks of formats with one scale: of at most 7 bits, and of 8 bits in two planes of nibbles.
struct BytesBlock {
  __m256i u[8];
  __m256 d;
};
struct PlanesBlock {
  __m256i low[8], high[8];
  __m256 d;
};

// Parts of formats. Weights stored as u = w + offset: a correction of -offset times the activations' sum,
// which goes to the dot product before it becomes a float.
template <int kOffset>
MORAINE_INLINE __m256 offset_correction(__m256i sums) {
  return _mm256_castsi256_ps(_mm256_mullo_epi32(sums, _mm256_set1_epi32(-kOffset)));
}
MORAINE_INLINE __m256 add_with_offset(__m256 d, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
  dot = _mm256_add_epi32(dot, _mm256_castps_si256(fix));
  return _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(dot), acc);
}
// Weights stored as they are but for a minimum: w = d u + min.
MORAINE_INLINE __m256 add_with_min(__m256 d, __m256 min, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
  acc = _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(dot), acc);
  return _mm256_fmadd_ps(min, fix, acc);
}

// Unsigned weights of four bits, and of five.
template <int kRows>
MORAINE_INLINE void dot_u4(const __m256i* u, const int8_t* q, int64_t q_stride, __m256i* dot) {
  dot_u8<8, kRows>(u, q, q_stride, dot);
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) dot[m] = pair_sums(dot[m]);
}
template <int kRows>
MORAINE_INLINE void dot_u5(const __m256i* u, const int8_t* q, int64_t q_stride, __m256i* dot) {
  __m256i second[kRows];
  dot_u8<4, kRows>(u, q, q_stride, dot);
  dot_u8<4, kRows>(u + 4, q + 16, q_stride, second);
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) dot[m] = _mm256_add_epi32(pair_sums(dot[m]), pair_sums(second[m]));
}

// Signed bytes: |w| times the activation with w's sign. Exact, as activations are never -128; the products of
// two pairs would pass 16 bits, so each step is widened.
struct Signed {
  using Block = BytesBlock;
  MORAINE_INLINE static __m256 correction(__m256i, __m256 dx) { return dx; }
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i magnitude = _mm256_abs_epi8(b.u[s]);
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m) {
        const __m256i x = _mm256_sign_epi8(broadcast4(q + m * q_stride + 4 * s), b.u[s]);
        const __m256i products = pair_sums(_mm256_maddubs_epi16(magnitude, x));
        dot[m] = s == 0 ? products : _mm256_add_epi32(dot[m], products);
      }
    }
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256, __m256 acc) {
    return _mm256_fmadd_ps(_mm256_mul_ps(b.d, dx), _mm256_cvtepi32_ps(dot), acc);
  }
};

// The same weights plus 128 as two nibbles, whose products can stay 16 bits wide for a whole block.
struct Planes {
  using Block = PlanesBlock;
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256) { return offset_correction<128>(sums); }
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    __m256i high[kRows];
    dot_planes<kRows>(b.low, b.high, q, q_stride, dot, high);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m)
      dot[m] = _mm256_add_epi32(pair_sums(dot[m]), _mm256_madd_epi16(high[m], _mm256_set1_epi16(16)));
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    return add_with_offset(b.d, dot, dx, fix, acc);
  }
};

// acc[m] += n <= kChunk blocks times kRows activation rows; block(i) is the i-th, unpacked.
template <class F, int kRows, class Blocks>
MORAINE_INLINE void add_chunk(Blocks block, int n, const Activations& x, __m256* acc) {
  alignas(32) float fix[kRows][kChunk];
  const __m256i mask = first_lanes(n);
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) {
    const __m256i sums = _mm256_maskload_epi32(reinterpret_cast<const int*>(x.sums + m * x.s_stride), mask);
    const __m256 dx = _mm256_maskload_ps(x.d + m * x.d_stride, mask);
    _mm256_store_ps(fix[m], F::correction(pair_sums(sums), dx));
  }
  for (int b = 0; b < n; ++b) {
    const auto& w = block(b);
    __m256i dot[kRows];
    F::template dot<kRows>(w, x.q + 32 * b, x.q_stride, dot);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m)
      acc[m] = F::add(w, dot[m], _mm256_broadcast_ss(x.d + m * x.d_stride + b),
                      _mm256_broadcast_ss(&fix[m][b]), acc[m]);
  }
}

// kRows activation rows, all there are.
template <class F, int kRows>
void direct(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  for (int g = 0; g < a.n_groups; ++g) {
    const uint8_t* w = a.w + g * a.group_bytes;
    __m256 acc[kRows];
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) acc[m] = _mm256_setzero_ps();
    for (int b = 0; b < n_blocks; b += kChunk, w += kChunk * F::kBytes) {
      const auto block = [w](int i) __attribute__((always_inline)) {
        prefetch<F::kBytes>(w + i * F::kBytes);
        return F::unpack(w + i * F::kBytes);
      };
      const int n = n_blocks - b < kChunk ? n_blocks - b : kChunk;
      add_chunk<F, kRows>(block, n, activations<32>(a.x, 0, b), acc);
    }
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) _mm256_storeu_ps(a.y + m * a.y_stride + 8 * g, acc[m]);
  }
}

// One chunk times rows m..m+kRows-1: added to what y holds or, with the first chunk, to nothing.
template <class F, int kRows>
MORAINE_INLINE void panel_tile(const MatmulArgs& a, const typename F::Block* blocks, int b, int n, int g,
                               int m) {
  float* y = a.y + m * a.y_stride + 8 * g;
  __m256 acc[kRows];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) acc[i] = b == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(y + i * a.y_stride);
  const auto block = [blocks](int i) __attribute__((always_inline)) -> const auto& { return blocks[i]; };
  add_chunk<F, kRows>(block, n, activations<32>(a.x, m, b), acc);
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) _mm256_storeu_ps(y + i * a.y_stride, acc[i]);
}

template <class F>
void panel(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  typename F::Block blocks[kChunk];
  for (int g = 0; g < a.n_groups; ++g)
    for (int b = 0; b < n_blocks; b += kChunk) {
      const uint8_t* w = a.w + g * a.group_bytes + static_cast<int64_t>(b) * F::kBytes;
      const int n = n_blocks - b < kChunk ? n_blocks - b : kChunk;
      for (int i = 0; i < n; ++i, w += F::kBytes) {
        prefetch<F::kBytes>(w);
        blocks[i] = F::unpack(w);
      }
      for_row_tiles<kTile>(a.n_rows, [&]<int kRows>(int m) __attribute__((always_inline)) {
        panel_tile<F, kRows>(a, blocks, b, n, g, m);
      });
    }
}

template <class Few, class Many>
MORAINE_INLINE void matmul(const MatmulArgs& a) {
  few_or_many<4>(
      a.n_rows, [&]<int kRows>() __attribute__((always_inline)) { direct<Few, kRows>(a); },
      [&] { panel<Many>(a); });
}

}  // namespace
}  // namespace moraine::cpu::avx2
