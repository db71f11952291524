// Matrix products of formats with 32-value blocks by tiles. The formats: ../avx512/block32.h.
//
// A block's products are half a tile each, as every block has a scale of its own. Eight blocks of sixteen
// weight rows are unpacked into 4 KB, as signed bytes less their offset, and used by all activation rows,
// which are read as they lie; y carries the sums from chunk to chunk. The float operations are those of
// kernels/scalar/matmul.cpp, in its order.
#include "backend/cpu/kernels/avx512/block32.h"

#include "backend/cpu/kernels/amx/kernels.h"
#include "backend/cpu/kernels/amx/tiles.h"
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::amx {
namespace {

using namespace avx512;

constexpr int kChunk = 8;  // blocks

struct Sums {
  Rows rows;
  alignas(64) int32_t dot[kChunk][kTileRows][16];
};

// What a chunk of a pair of groups is multiplied by and added to.
struct Place {
  int g, b, n_blocks;
  __mmask16 lanes;
};

// Rows begin and begin+1 of s, scaled and added to what y holds or, with the first chunk, to nothing.
template <class F>
MORAINE_INLINE void finish(const MatmulArgs& a, const Block32* blocks, const Place& at, const Sums& s,
                           int begin) {
  const Activations x = activations<32>(a.x, s.rows.m, at.b);
  float* y = a.y + s.rows.m * a.y_stride + 8 * at.g;
  const __mmask8 some = static_cast<__mmask8>((1 << at.n_blocks) - 1);
  const int end = begin + 2 < s.rows.n ? begin + 2 : s.rows.n;
  for (int r = begin; r < end; ++r) {
    const float* d = x.d + r * x.d_stride;
    alignas(32) float fix[kChunk];  // what multiplies the minimum
    if constexpr (F::kMin) {
      const __m256i sums = _mm256_maskz_loadu_epi32(some, x.sums + r * x.s_stride);
      _mm256_store_ps(fix, _mm256_mul_ps(_mm256_maskz_loadu_ps(some, d),
                                         _mm256_cvtepi32_ps(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)))));
    }
    __m512 acc = at.b == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(at.lanes, y + r * a.y_stride);
    for (int i = 0; i < at.n_blocks; ++i) {
      const __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(s.dot[i][r]));
      acc = _mm512_fmadd_ps(_mm512_mul_ps(blocks[i].d, _mm512_set1_ps(d[i])), dot, acc);
      if constexpr (F::kMin) acc = _mm512_fmadd_ps(blocks[i].min, _mm512_set1_ps(fix[i]), acc);
    }
    _mm512_mask_storeu_ps(y + r * a.y_stride, at.lanes, acc);
  }
}

// The products of `rows` into `now`, while `before` is finished.
template <class F>
MORAINE_INLINE void multiply(const MatmulArgs& a, TileUnit& tiles, const Block32* blocks, const Place& at,
                             Rows rows, Sums& now, const Sums& before) {
  int8_t copy[kTileRows][256];
  const Quants x = whole_tile(activations<32>(a.x, rows.m, at.b), rows.n, 32 * at.n_blocks, copy);
#pragma GCC unroll 8
  for (int i = 0; i < kChunk; ++i) {
    if (i < at.n_blocks) {
      constexpr auto product = []<int kOdd>(TileUnit& t, const void* q, int64_t stride, const void* w,
                                            void* to) __attribute__((always_inline)) {
        t.zero<kSums + kOdd>();
        t.load<kX + kOdd>(q, stride);
        t.load<kWeights + kOdd>(w, 64);
        t.add_signed<kSums + kOdd, kX + kOdd, kWeights + kOdd>();
        t.store<kSums + kOdd>(to, 64);
      };
      if (i % 2 == 0)
        product.template operator()<0>(tiles, x.q + 32 * i, x.stride, blocks[i].u, now.dot[i]);
      else
        product.template operator()<1>(tiles, x.q + 32 * i, x.stride, blocks[i].u, now.dot[i]);
    }
    finish<F>(a, blocks, at, before, 2 * i);
  }
  now.rows = rows;
}

template <class F>
void matmul(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  TileUnit tiles(shapes(32));
  Block32 blocks[kChunk];
  Sums sums[2];
  for (int g = 0; g < a.n_groups; g += 2)
    for (int b = 0; b < n_blocks; b += kChunk) {
      Pair w = pair_of(a, g) + static_cast<int64_t>(b) * F::kBytes;
      const Place at = {g, b, n_blocks - b < kChunk ? n_blocks - b : kChunk, w.lanes};
      for (int i = 0; i < at.n_blocks; ++i, w = w + F::kBytes) {
        prefetch<F::kBytes>(w);
        F::unpack(w, blocks[i]);
        const __m512i offset = _mm512_set1_epi8(static_cast<char>(F::kOffset));
#pragma GCC unroll 8
        for (int s = 0; s < 8; ++s) blocks[i].u[s] = _mm512_sub_epi8(blocks[i].u[s], offset);
      }
      sums[1].rows = {};
      int now = 0;
      for (int m = 0; m < a.n_rows; m += kTileRows, now = !now) {
        const Rows rows = {m, a.n_rows - m < kTileRows ? a.n_rows - m : kTileRows};
        multiply<F>(a, tiles, blocks, at, rows, sums[now], sums[!now]);
      }
      for (int i = 0; i < kTileRows; i += 2) finish<F>(a, blocks, at, sums[!now], i);
    }
}

}  // namespace

MORAINE_AMX_MATMUL(matmul_q4_0, Q4_0)
MORAINE_AMX_MATMUL(matmul_q4_1, Q4_1)
MORAINE_AMX_MATMUL(matmul_q5_0, Q5_0)
MORAINE_AMX_MATMUL(matmul_q5_1, Q5_1)
MORAINE_AMX_MATMUL(matmul_q8_0, Q8_0)
MORAINE_AMX_MATMUL(matmul_iq4_nl, IQ4_NL)
MORAINE_AMX_MATMUL(matmul_mxfp4, MXFP4)

}  // namespace moraine::cpu::amx
