// Matrix products of formats with 32-value blocks by tiles. The formats: ../avx512/block32.h.
//
// A block's products are half a tile each, as every block has a scale of its own. Up to six blocks of
// thirty-two weight rows are unpacked into 8 KB, as signed bytes less their offset, and used by all
// activation rows, which are read as they lie; y carries the sums from chunk to chunk. The float operations
// are those of kernels/scalar/matmul.cpp, in its order. They, and above all the loads they need, cost more
// than the products: so eight rows' sums stay in registers over all blocks of the chunk, and what is read of
// an activation meets two vectors of weight rows. A product's sums are stored behind the next products: right
// behind its own, the store would let the tile unit wait for as long as a product takes. (To add up one
// tile's sums while the next is multiplied gained nothing: while tiles multiply, one of two ports takes wide
// vectors.)
#include "backend/cpu/kernels/avx512/block32.h"

#include "backend/cpu/kernels/amx/kernels.h"
#include "backend/cpu/kernels/amx/tiles.h"
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::amx {
namespace {

using namespace avx512;

// Blocks, at most: with more, what is under way leaves the first-level cache.
constexpr int kChunk = 6;
// Groups that the rows of a chunk meet before the next chunk: what y carries for them stays in the caches.
constexpr int kMostGroups = 16;
constexpr int kFinish = 8;  // rows whose sums are in registers, or half as many
static_assert(kLeastRows >= kFinish);
constexpr int kLeastAlone = 10;  // rows without whole tiles beside them

// Of a chunk's activations, what is the same for all weight rows.
using Eight = float[8];
struct Factors {
  alignas(32) Eight d[kMostRows];
  alignas(32) Eight fix[kMostRows];  // multiplies the minimum
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

// The weights of a chunk: kPairs pairs of groups.
template <int kPairs>
struct Panel {
  Block32 blocks[kPairs][kChunk];
};

// Exact sums of a tile of rows.
template <int kPairs>
struct Sums {
  alignas(64) int32_t dot[kChunk][kPairs][kTileRows][16];
};

// What some rows and the pairs of groups give: the sums of the first row, if there are some already.
template <int kPairs>
struct Place {
  float* y;
  int64_t y_stride;
  __mmask16 lanes[kPairs], carried[kPairs];
};

// Rows begin..begin+kRows-1 of s, scaled and added to what y holds; those before `first` are not stored.
template <class F, int kRows, int kPairs>
MORAINE_INLINE void finish_rows(const Panel<kPairs>& panel, int n_blocks, const Place<kPairs>& at,
                                const Factors& f, int m, const Sums<kPairs>& s, int begin, int first) {
  float* y = at.y + (m + begin) * at.y_stride;
  const Eight* d = f.d + m + begin;
  const Eight* fix = f.fix + m + begin;
  __m512 acc[kRows][kPairs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < kPairs; ++p)
      acc[r][p] = _mm512_maskz_loadu_ps(at.carried[p], y + r * at.y_stride + 16 * p);
  for (int i = 0; i < n_blocks; ++i) {
    __m512 dw[kPairs], min[kPairs];
#pragma GCC unroll 2
    for (int p = 0; p < kPairs; ++p) dw[p] = panel.blocks[p][i].d, min[p] = panel.blocks[p][i].min;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512 dx = _mm512_set1_ps(d[r][i]);
#pragma GCC unroll 2
      for (int p = 0; p < kPairs; ++p) {
        const __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(s.dot[i][p][begin + r]));
        acc[r][p] = _mm512_fmadd_ps(_mm512_mul_ps(dw[p], dx), dot, acc[r][p]);
      }
    }
    if constexpr (F::kMin)
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m512 x = _mm512_set1_ps(fix[r][i]);
#pragma GCC unroll 2
        for (int p = 0; p < kPairs; ++p) acc[r][p] = _mm512_fmadd_ps(min[p], x, acc[r][p]);
      }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
    if (begin + r >= first)
#pragma GCC unroll 2
      for (int p = 0; p < kPairs; ++p)
        _mm512_mask_storeu_ps(y + r * at.y_stride + 16 * p, at.lanes[p], acc[r][p]);
}

// Of the n_rows from m those from `wanted` on: eight or four at a time, the last within those before, if need
// be.
template <class F, int kPairs>
MORAINE_INLINE void finish(const Panel<kPairs>& panel, int n_blocks, const Place<kPairs>& at,
                           const Factors& f, int m, int n_rows, const Sums<kPairs>& s, int wanted) {
  constexpr int kHalf = kFinish / 2;
  int r = wanted;
  for (; n_rows - r > kHalf; r += kFinish) {
    const int begin = r + kFinish <= n_rows ? r : n_rows - kFinish;
    finish_rows<F, kFinish>(panel, n_blocks, at, f, m, s, begin, r);
  }
  if (r < n_rows) finish_rows<F, kHalf>(panel, n_blocks, at, f, m, s, n_rows - kHalf, r);
}

// The products of all blocks with a tile of rows at q. Blocks take turns with two sets of registers; a
// block's sums are stored behind the products of the next one.
template <int kPairs, int kOdd>
MORAINE_INLINE void multiply(TileUnit& tiles, const Panel<kPairs>& panel, const int8_t* q, int64_t stride,
                             int i) {
  constexpr int kSum = kSums + 2 * kOdd;
  tiles.load<kX + kOdd>(q + 32 * i, stride);
  tiles.zero<kSum>();
  tiles.load<kWeights>(panel.blocks[0][i].u, 64);
  tiles.add_signed<kSum, kX + kOdd, kWeights>();
  if constexpr (kPairs == 2) {
    tiles.zero<kSum + 1>();
    tiles.load<kWeights + 1>(panel.blocks[1][i].u, 64);
    tiles.add_signed<kSum + 1, kX + kOdd, kWeights + 1>();
  }
}
template <int kPairs, int kOdd>
MORAINE_INLINE void store(TileUnit& tiles, Sums<kPairs>& to, int i) {
  tiles.store<kSums + 2 * kOdd>(to.dot[i][0], 64);
  if constexpr (kPairs == 2) tiles.store<kSums + 2 * kOdd + 1>(to.dot[i][1], 64);
}
template <int kPairs>
MORAINE_INLINE void multiply(TileUnit& tiles, const Panel<kPairs>& panel, const int8_t* q, int64_t stride,
                             int n_blocks, Sums<kPairs>& to) {
  for (int i = 0; i < n_blocks; i += 2) {
    multiply<kPairs, 0>(tiles, panel, q, stride, i);
    if (i > 0) store<kPairs, 1>(tiles, to, i - 1);
    if (i + 1 < n_blocks) multiply<kPairs, 1>(tiles, panel, q, stride, i + 1);
    store<kPairs, 0>(tiles, to, i);
  }
  if (n_blocks % 2 == 0) store<kPairs, 1>(tiles, to, n_blocks - 1);
}

// next: what will be unpacked after this.
template <class F>
void unpack(Pair w, Pair next, int n_blocks, Block32* blocks) {
  for (int i = 0; i < n_blocks; ++i, w = w + F::kBytes, next = next + F::kBytes) {
    fetch<0, F::kBytes>(next);
    F::template unpack<F::kOffset>(w, blocks[i]);
  }
}

// As few parts as do, of at most `most`, and of one size.
MORAINE_INLINE int even_part(int n, int most) {
  const int parts = (n + most - 1) / most;
  return (n + parts - 1) / parts;
}

// An unpacked chunk times n_rows rows, tile by tile. The last tile begins within the one before, if it must.
template <class F, int kPairs>
void multiply_all(TileUnit& tiles, const Panel<kPairs>& panel, int n_blocks, const Place<kPairs>& at,
                  const Factors& f, const Activations& x, int n_rows) {
  const int height = n_rows < kTileRows ? n_rows : kTileRows;
  Sums<kPairs> sums;
  for (int done = 0; done < n_rows; done += height) {
    const int m = done + height <= n_rows ? done : n_rows - height;
    multiply(tiles, panel, x.q + m * x.q_stride, x.q_stride, n_blocks, sums);
    finish<F>(panel, n_blocks, at, f, m, height, sums, done - m);
  }
}

// Blocks b..b+n_blocks-1 of some rows of activations.
struct Chunk {
  int b, n_blocks;
  Activations x;
  Factors factors;
};

// Groups from g times a chunk. next: the first of those whose blocks from next_b will be unpacked after this.
template <class F, int kPairs>
void chunk_of(const MatmulArgs& a, TileUnit& tiles, const Chunk& c, int m, int n_rows, int g, int next,
              int next_b) {
  const auto weights = [&](int group, int b) {
    return pair_of(a, group) + static_cast<int64_t>(b) * F::kBytes;
  };
  Panel<kPairs> panel;
  Place<kPairs> at = {a.y + m * a.y_stride + 8 * g, a.y_stride, {}, {}};
#pragma GCC unroll 2
  for (int p = 0; p < kPairs; ++p) {
    const Pair w = weights(g + 2 * p, c.b);
    const int after = next + 2 * p < a.n_groups ? next + 2 * p : next;
    unpack<F>(w, weights(after, next_b), c.n_blocks, panel.blocks[p]);
    at.lanes[p] = w.lanes;
    at.carried[p] = c.b == 0 ? __mmask16{0} : w.lanes;
  }
  multiply_all<F>(tiles, panel, c.n_blocks, at, c.factors, c.x, n_rows);
}

// Chunks of a group's row that are taken one after the other, at most. The more the better, as weights are
// then read in the order of their addresses; but the rows' activations of all of them should stay in the
// first-level cache.
constexpr int kTogether = 8;
constexpr int kActivationBytes = 24 << 10;

// Rows m..m+n_rows-1, at least kLeastRows.
template <class F>
void multiply_rows(const MatmulArgs& a, int m, int n_rows) {
  const int n_blocks = a.k / 32, length = even_part(n_blocks, kChunk);
  const int fit = kActivationBytes / (32 * length * n_rows);
  const int together = fit < 1 ? 1 : fit < kTogether ? fit : kTogether;
  TileUnit tiles(shapes(32, n_rows < kTileRows ? n_rows : kTileRows));
  Chunk chunks[kTogether];
  for (int first = 0; first < a.n_groups; first += kMostGroups) {
    const int end = first + kMostGroups < a.n_groups ? first + kMostGroups : a.n_groups;
    for (int begin = 0; begin < n_blocks; begin += together * length) {
      int n = 0;
      for (int b = begin; n < together && b < n_blocks; b += length, ++n) {
        chunks[n].b = b;
        chunks[n].n_blocks = n_blocks - b < length ? n_blocks - b : length;
        chunks[n].x = activations<32>(a.x, m, b);
        read_factors<F>(chunks[n].x, n_rows, chunks[n].n_blocks, chunks[n].factors);
      }
      for (int g = first; g < end; g += 4)
        for (int i = 0; i < n; ++i) {
          // Next come these groups' next blocks, or the next groups', or the first one's; or other groups.
          int next = g, next_b = chunks[i].b + length;
          if (i + 1 == n) next = g + 4, next_b = begin;
          if (next >= end) next = first, next_b = begin + n * length;
          if (next_b >= n_blocks) next = end, next_b = 0;
          if (g + 2 < end)
            chunk_of<F, 2>(a, tiles, chunks[i], m, n_rows, g, next, next_b);
          else
            chunk_of<F, 1>(a, tiles, chunks[i], m, n_rows, g, next, next_b);
        }
    }
  }
}

// Few rows, and few that are left over by whole tiles, are cheaper without tiles: `without` is AVX-512's
// kernel.
template <class F>
MORAINE_INLINE void matmul(const MatmulArgs& a, MatmulFn without) {
  const int rest = a.n_rows % kTileRows;
  const bool fewer = rest < (a.n_rows < kTileRows ? kLeastAlone : kLeastRows);
  const int n_rows = fewer ? a.n_rows - rest : a.n_rows;
  for (int m = 0; m < n_rows; m += kMostRows)
    multiply_rows<F>(a, m, n_rows - m < kMostRows ? n_rows - m : kMostRows);
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
