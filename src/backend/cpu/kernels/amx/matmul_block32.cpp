// Matrix products of formats with 32-value blocks by tiles. The formats: ../avx512/block32.h.
//
// A block's products are half a tile each, as every block has a scale of its own. Up to eight blocks of
// sixteen weight rows are unpacked into 4 KB, as signed bytes less their offset, and used by all activation
// rows, which are read as they lie; y carries the sums from chunk to chunk. The float operations are those of
// kernels/scalar/matmul.cpp, in its order; they cost more than the products, so eight rows' sums at a time
// stay in registers over all blocks of the chunk: eight chains that hide each other's latency. (To let the
// tile unit multiply the next rows meanwhile, instruction by instruction, gained nothing.)
#include "backend/cpu/kernels/avx512/block32.h"

#include "backend/cpu/kernels/amx/kernels.h"
#include "backend/cpu/kernels/amx/tiles.h"
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::amx {
namespace {

using namespace avx512;

constexpr int kChunk = 8;   // blocks, at most
constexpr int kFinish = 8;  // rows whose sums are in registers, or half as many

// Of a chunk's activations, what is the same for all weight rows.
struct Factors {
  alignas(32) float d[kPackedRows][kChunk];
  alignas(32) float fix[kPackedRows][kChunk];  // multiplies the minimum
};

template <class F>
void read_factors(const Activations& x, int n_rows, int n_blocks, Factors& f) {
  const __mmask8 some = static_cast<__mmask8>((1 << n_blocks) - 1);
  for (int r = 0; r < n_rows; ++r) {
    const __m256 d = _mm256_maskz_loadu_ps(some, x.d + r * x.d_stride);
    _mm256_store_ps(f.d[r], d);
    if constexpr (F::kMin) {
      const __m256i sums = _mm256_maskz_loadu_epi32(some, x.sums + r * x.s_stride);
      _mm256_store_ps(f.fix[r],
                      _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)))));
    }
  }
}

// Exact sums of a tile of rows.
struct Sums {
  alignas(64) int32_t dot[kChunk][kTileRows][16];
};

// What some rows and a pair of groups give: the sums of the first row, if there are some already.
struct Place {
  float* y;
  int64_t y_stride;
  __mmask16 lanes, carried;
};

// Rows begin..begin+kRows-1 of `dot`, scaled and added to what y holds; those before `first` are not stored.
template <class F, int kRows>
MORAINE_INLINE void finish_rows(const Block32* blocks, int n_blocks, const Place& at, const Factors& f, int m,
                                const Sums& s, int begin, int first) {
  float* y = at.y + (m + begin) * at.y_stride;
  const float(*d)[kChunk] = f.d + m + begin;
  const float(*fix)[kChunk] = f.fix + m + begin;
  __m512 acc[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) acc[r] = _mm512_maskz_loadu_ps(at.carried, y + r * at.y_stride);
  for (int i = 0; i < n_blocks; ++i) {
    const __m512 dw = blocks[i].d;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(s.dot[i][begin + r]));
      acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(dw, _mm512_set1_ps(d[r][i])), dot, acc[r]);
    }
    if constexpr (F::kMin) {
      const __m512 min = blocks[i].min;
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(fix[r][i]), acc[r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
    if (begin + r >= first) _mm512_mask_storeu_ps(y + r * at.y_stride, at.lanes, acc[r]);
}

// Of the n_rows from m those from `wanted` on: eight or four at a time, the last within those before, if need
// be.
template <class F>
MORAINE_INLINE void finish(const Block32* blocks, int n_blocks, const Place& at, const Factors& f, int m,
                           int n_rows, const Sums& s, int wanted) {
  int r = wanted;
  for (; n_rows - r > kFinish / 2; r += kFinish)
    finish_rows<F, kFinish>(blocks, n_blocks, at, f, m, s, r + kFinish <= n_rows ? r : n_rows - kFinish, r);
  if (r < n_rows) finish_rows<F, kFinish / 2>(blocks, n_blocks, at, f, m, s, n_rows - kFinish / 2, r);
}

// Block i's products with the rows of `to`. Blocks take turns with two sets of registers.
MORAINE_INLINE void multiply(TileUnit& tiles, const Block32* blocks, const int8_t* q, int64_t stride, int i,
                             Sums& to) {
  const auto product = [&]<int kOdd>() __attribute__((always_inline)) {
    tiles.zero<kSums + kOdd>();
    tiles.load<kX + kOdd>(q + 32 * i, stride);
    tiles.load<kWeights + kOdd>(blocks[i].u, 64);
    tiles.add_signed<kSums + kOdd, kX + kOdd, kWeights + kOdd>();
    tiles.store<kSums + kOdd>(to.dot[i], 64);
  };
  if (i % 2 == 0)
    product.template operator()<0>();
  else
    product.template operator()<1>();
}

// next: what will be unpacked after this.
template <class F>
void unpack(Pair w, Pair next, int n_blocks, Block32* blocks) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(F::kOffset));
  for (int i = 0; i < n_blocks; ++i, w = w + F::kBytes, next = next + F::kBytes) {
    fetch<0, F::kBytes>(next);
    F::unpack(w, blocks[i]);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) blocks[i].u[s] = _mm512_sub_epi8(blocks[i].u[s], offset);
  }
}

// As few parts as do, of at most `most`, and of one size.
MORAINE_INLINE int even_part(int n, int most) {
  const int parts = (n + most - 1) / most;
  return (n + parts - 1) / parts;
}

// Unpacked blocks times n_rows rows, tile by tile. The last tile begins within the one before, if it must.
template <class F>
void multiply_all(TileUnit& tiles, const Block32* blocks, int n_blocks, const Place& at, const Factors& f,
                  const Activations& x, int n_rows) {
  const int height = n_rows < kTileRows ? n_rows : kTileRows;
  Sums sums;
  for (int done = 0; done < n_rows; done += height) {
    const int m = done + height <= n_rows ? done : n_rows - height;
    for (int i = 0; i < n_blocks; ++i) multiply(tiles, blocks, x.q + m * x.q_stride, x.q_stride, i, sums);
    finish<F>(blocks, n_blocks, at, f, m, height, sums, done - m);
  }
}

// Rows m..m+n_rows-1, at least half a tile.
template <class F>
void multiply_rows(const MatmulArgs& a, int m, int n_rows) {
  const int n_blocks = a.k / 32, chunk = even_part(n_blocks, kChunk);
  TileUnit tiles(shapes(32, n_rows < kTileRows ? n_rows : kTileRows));
  const auto weights = [&](int g, int b) { return pair_of(a, g) + static_cast<int64_t>(b) * F::kBytes; };
  Block32 blocks[kChunk];
  Factors factors;
  for (int first = 0; first < a.n_groups; first += kPackedGroups) {
    const int end = first + kPackedGroups < a.n_groups ? first + kPackedGroups : a.n_groups;
    for (int b = 0; b < n_blocks; b += chunk) {
      const int n = n_blocks - b < chunk ? n_blocks - b : chunk;
      const Activations x = activations<32>(a.x, m, b);
      read_factors<F>(x, n_rows, n, factors);
      for (int g = first; g < end; g += 2) {
        const Pair w = weights(g, b);
        unpack<F>(w, g + 2 < end ? weights(g + 2, b) : weights(first, b + n), n, blocks);
        const __mmask16 carried = b == 0 ? 0 : w.lanes;
        const Place at = {a.y + m * a.y_stride + 8 * g, a.y_stride, w.lanes, carried};
        multiply_all<F>(tiles, blocks, n, at, factors, x, n_rows);
      }
    }
  }
}

// Few rows, and few that are left over by whole tiles, are cheaper without tiles: `without` is AVX-512's
// kernel.
template <class F>
MORAINE_INLINE void matmul(const MatmulArgs& a, MatmulFn without) {
  const int rest = a.n_rows % kTileRows;
  const int n_rows = rest < kTileRows / 2 || a.n_rows < kLeastRows ? a.n_rows - rest : a.n_rows;
  for (int m = 0; m < n_rows; m += kPackedRows)
    multiply_rows<F>(a, m, n_rows - m < kPackedRows ? n_rows - m : kPackedRows);
  if (n_rows == a.n_rows) return;
  MatmulArgs others = a;
  others.n_rows = rest;
  others.x = {a.x.q + n_rows * a.x.q_stride,
              a.x.d + n_rows * a.x.d_stride,
              a.x.sums + n_rows * a.x.s_stride,
              a.x.q_stride,
              a.x.d_stride,
              a.x.s_stride};
  others.y = a.y + n_rows * a.y_stride;
  without(others);
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
