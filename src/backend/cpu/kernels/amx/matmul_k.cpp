// Matrix products of formats with 256-value blocks by tiles. The formats: ../avx512/block256.h; how their
// weights become bytes: panel_k.h.
//
// Activations are packed first, eight blocks of up to 128 rows, a block's one behind the other: as they lie,
// rows fall on a few sets of the first-level cache. Then, for sixteen weight rows at a time, each of the
// eight blocks is unpacked into 4 or 8 KB and meets all activation rows, tile by tile, whose sums stay in the
// first-level cache over the eight and are carried on to the next eight in y.
//
// The tile unit and the vector unit work side by side. While a tile is multiplied, what came out of the one
// before is stored, and what was stored of the one before that is scaled and added up. A store right behind
// its own product would let the tile unit wait for twice as long as a product takes.
#include "backend/cpu/kernels/amx/kernels.h"
#include "backend/cpu/kernels/amx/panel_k.h"
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::amx {
namespace {

using namespace avx512;

constexpr int kWidth = 256;
constexpr int kMaxBlocks = 8;  // of activations that are packed together: 300 KB of stack
constexpr int kSteps = 4;      // tiles of 64 values in a block

// A block's activations; behind the last row is anything.
struct Packed {
  alignas(64) int8_t q[kMostRows][kWidth];
  alignas(32) int16_t sums[kMostRows][16];  // for the factors
  float d[kMostRows];
};

template <class F>
void pack(const MatmulArgs& a, int m, int n_rows, int b, Packed& to) {
  const Activations x = activations<kWidth>(a.x, m, b);
  for (int i = 0; i < n_rows; ++i) {
#pragma GCC unroll 4
    for (int c = 0; c < kWidth; c += 64)
      _mm512_store_si512(to.q[i] + c, _mm512_loadu_si512(x.q + i * x.q_stride + c));
    to.d[i] = x.d[i * x.d_stride];
    if constexpr (!F::kMins) continue;
    __m256i s = load256(x.sums + i * x.s_stride);
    if constexpr (F::kScales == 8) {
      s = _mm256_madd_epi16(s, _mm256_set1_epi16(1));
      s = _mm256_castsi128_si256(_mm_packs_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(to.sums[i]), s);
  }
}

// Exact sums of a tile of rows, by plane.
template <class F>
struct Sums {
  alignas(64) int32_t of[SplitOf<F>::kPlanes][kTileRows][16];
};

// A block of a pair of groups, the activations it meets, and the rows' sums it is added to.
template <class F>
struct Product {
  const Panel<F>& panel;
  const Packed& x;
  float (*acc)[16];
  int n_rows;
};

template <class F>
MORAINE_INLINE void finish_row(const Product<F>& p, const Sums<F>& s, int i, int row) {
  const __m512i dot = SplitOf<F>::whole(s.of, i);
  __m512i mins = _mm512_setzero_si512();
  if constexpr (F::kMins)
#pragma GCC unroll 8
    for (int j = 0; j < Panel<F>::kFactors; ++j)
      mins = _mm512_dpwssd_epi32(mins, p.panel.factors[j], broadcast4(p.x.sums[row] + 2 * j));
  float* acc = p.acc[row];
  _mm512_store_ps(acc, add_block<F>(p.panel.scales, dot, mins, p.x.d[row], _mm512_load_ps(acc)));
}

// A quarter of tile t's rows, as many as there are.
template <class F>
MORAINE_INLINE void finish(const Product<F>& p, const Sums<F>& s, int t, int quarter) {
  constexpr int kRows = kTileRows / kSteps;
  const int first = kRows * quarter, row = kTileRows * t + first;
  if (row + kRows <= p.n_rows) {
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) finish_row<F>(p, s, first + i, row + i);
  } else {
    for (int i = 0; row + i < p.n_rows; ++i) finish_row<F>(p, s, first + i, row + i);
  }
}

template <class F, int kOdd, int kPlane>
MORAINE_INLINE void store(TileUnit& tiles, Sums<F>& to) {
  if constexpr (kPlane < SplitOf<F>::kPlanes) tiles.store<kSums + 2 * kOdd + kPlane>(to.of[kPlane], 64);
}

template <class F, int kOdd, int kPlane>
MORAINE_INLINE void multiply(TileUnit& tiles, const Panel<F>& panel, int step) {
  if constexpr (kPlane < SplitOf<F>::kPlanes) {
    constexpr int kTo = kSums + 2 * kOdd + kPlane, kW = kWeights + kPlane;
    tiles.load<kW>(panel.planes[kPlane] + 16 * step, 64);
    if constexpr (SplitOf<F>::kSigned[kPlane])
      tiles.add_signed<kTo, kX + kOdd, kW>();
    else
      tiles.add_unsigned<kTo, kX + kOdd, kW>();
  }
}

// Tile t's products, and meanwhile what is left to do for the two before. Tiles take turns with the registers
// and with sums[2].
template <class F, int kOdd>
MORAINE_INLINE void tile(TileUnit& tiles, const Product<F>& p, Sums<F>* sums, int t) {
  tiles.zero<kSums + 2 * kOdd>();
  if constexpr (SplitOf<F>::kPlanes > 1) tiles.zero<kSums + 2 * kOdd + 1>();
#pragma GCC unroll 4
  for (int step = 0; step < kSteps; ++step) {
    tiles.load<kX + kOdd>(p.x.q[kTileRows * t] + 64 * step, kWidth);
    multiply<F, kOdd, 0>(tiles, p.panel, step);
    multiply<F, kOdd, 1>(tiles, p.panel, step);
    if (t >= 1 && step == 0) store<F, 1 - kOdd, 0>(tiles, sums[1 - kOdd]);
    if (t >= 1 && step == 1) store<F, 1 - kOdd, 1>(tiles, sums[1 - kOdd]);
    if (t >= 2) finish(p, sums[kOdd], t - 2, step);
  }
}

template <class F, int kOdd>
MORAINE_INLINE void finish_last(TileUnit& tiles, const Product<F>& p, Sums<F>* sums, int n_tiles) {
  store<F, kOdd, 0>(tiles, sums[kOdd]);
  store<F, kOdd, 1>(tiles, sums[kOdd]);
  if (n_tiles > 1)
    for (int q = 0; q < kSteps; ++q) finish(p, sums[1 - kOdd], n_tiles - 2, q);
  for (int q = 0; q < kSteps; ++q) finish(p, sums[kOdd], n_tiles - 1, q);
}

template <class F>
void multiply_all(TileUnit& tiles, const Product<F>& p) {
  Sums<F> sums[2];
  const int n_tiles = (p.n_rows + kTileRows - 1) / kTileRows;
  for (int t = 0; t < n_tiles; t += 2) {
    tile<F, 0>(tiles, p, sums, t);
    if (t + 1 < n_tiles) tile<F, 1>(tiles, p, sums, t + 1);
  }
  if (n_tiles % 2 == 0)
    finish_last<F, 1>(tiles, p, sums, n_tiles);
  else
    finish_last<F, 0>(tiles, p, sums, n_tiles);
}

// n blocks from `first` of all groups times n_rows rows, packed: added to what y holds or, with the first
// block, stored there.
template <class F>
void multiply_rows(const MatmulArgs& a, TileUnit& tiles, const Packed* x, int first, int n, int n_rows,
                   float* y) {
  const auto weights = [&](int g, int i) {
    return pair_of(a, g) + static_cast<int64_t>(first + i) * F::kBytes;
  };
  Panel<F> panel;
  alignas(64) float acc[kMostRows][16];
  for (int g = 0; g < a.n_groups; g += 2, y += 16) {
    const Pair next = g + 2 < a.n_groups ? weights(g + 2, 0) : weights(0, n);
    const __mmask16 lanes = pair_of(a, g).lanes, carried = first == 0 ? __mmask16{0} : lanes;
    for (int r = 0; r < n_rows; ++r)
      _mm512_store_ps(acc[r], _mm512_maskz_loadu_ps(carried, y + r * a.y_stride));
    for (int i = 0; i < n; ++i) {
      panel.unpack(weights(g, i), i + 1 < n ? weights(g, i + 1) : next);
      multiply_all<F>(tiles, {panel, x[i], acc, n_rows});
    }
    for (int r = 0; r < n_rows; ++r) _mm512_mask_storeu_ps(y + r * a.y_stride, lanes, _mm512_load_ps(acc[r]));
  }
}

template <class F>
void matmul(const MatmulArgs& a, MatmulFn without) {
  if (a.n_rows < kLeastRows) return without(a);
  TileUnit tiles(shapes(64, kTileRows));
  Packed x[kMaxBlocks];
  const int n_blocks = a.k / kWidth;
  for (int m = 0; m < a.n_rows; m += kMostRows) {
    const int n_rows = a.n_rows - m < kMostRows ? a.n_rows - m : kMostRows;
    for (int first = 0; first < n_blocks; first += kMaxBlocks) {
      const int n = n_blocks - first < kMaxBlocks ? n_blocks - first : kMaxBlocks;
      for (int i = 0; i < n; ++i) pack<F>(a, m, n_rows, first + i, x[i]);
      multiply_rows<F>(a, tiles, x, first, n, n_rows, a.y + m * a.y_stride);
    }
  }
}

}  // namespace

MORAINE_AMX_MATMUL(matmul_q2_k, Q2_K)
MORAINE_AMX_MATMUL(matmul_q3_k, Q3_K)
MORAINE_AMX_MATMUL(matmul_q4_k, Q4_K)
MORAINE_AMX_MATMUL(matmul_q5_k, Q5_K)
MORAINE_AMX_MATMUL(matmul_q6_k, Q6_K)
MORAINE_AMX_MATMUL(matmul_iq4_xs, IQ4_XS)

}  // namespace moraine::cpu::amx
