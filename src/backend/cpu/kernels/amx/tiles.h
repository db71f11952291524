// How the kernels of this folder use the tile registers (tile_unit.h): which is for what. Anonymous namespace
// throughout: see ../avx512/simd.h.
#pragma once

#include "backend/cpu/kernels/amx/tile_unit.h"
#include "backend/cpu/kernels/avx512/simd.h"

namespace moraine::cpu::amx {
namespace {

constexpr int kTileRows = 16;
constexpr int kLeastRows = 8;  // fewer activation rows are left to the AVX-512 kernels

// Numbers of the registers: sums of two tiles of rows that are under way, two each; their activations; two of
// weights.
enum Register : int { kSums = 0, kX = 4, kWeights = 6 };

// Tiles of n_rows activation rows of x_bytes bytes, 64 or 32, and of x_bytes / 4 rows of weights.
MORAINE_INLINE TileShapes shapes(int x_bytes, int n_rows) {
  TileShapes s = {};
  for (int i = 0; i < 8; ++i) {
    s.row_bytes[i] = static_cast<uint8_t>(i >= kX && i < kWeights ? x_bytes : 64);
    s.rows[i] = static_cast<uint8_t>(i >= kWeights ? x_bytes / 4 : n_rows);
  }
  return s;
}

constexpr int kMostRows = 128;  // of activations, that an unpacked weight meets

// Bytes begin..begin+n-1 of both groups, towards the first-level cache.
template <int begin, int n>
MORAINE_INLINE void fetch(const avx512::Pair& w) {
#pragma GCC unroll 8
  for (int i = begin / 64 * 64; i < begin + n; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(w.w0 + i), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(w.w1 + i), _MM_HINT_T0);
  }
}

}  // namespace
}  // namespace moraine::cpu::amx

// A kernel by its name, as the file's matmul<Format>(), which may leave rows to the AVX-512 kernel.
#define MORAINE_AMX_MATMUL(name, Format) \
  void name(const MatmulArgs& a) noexcept { matmul<Format>(a, avx512::name); }
