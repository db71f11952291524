// The tile registers of AMX: eight, each of 16 rows of up to 64 bytes. Written as assembler because the
// compiler's intrinsics do not say that they read and write memory. A thread's tiles are set up when a Tiles
// is made and given back when it goes; the process must have asked for them (base/cpu_features.h).
// Anonymous namespace throughout: see ../avx512/simd.h.
#pragma once

#include "backend/cpu/kernels/avx512/simd.h"

namespace moraine::cpu::amx {
namespace {

constexpr int kTileRows = 16;

// Numbers of the registers: sums of two tiles of rows that are under way, two each; their activations; two of
// weights.
enum Register : int { kSums = 0, kX = 4, kWeights = 6 };

class Tiles {
 public:
  // x_bytes: of activations in a tile's row, 64 or 32; weights lie in tiles of x_bytes / 4 rows.
  MORAINE_INLINE explicit Tiles(int x_bytes) {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = static_cast<uint16_t>(i >= kX && i < kWeights ? x_bytes : 64);
      config.rows[i] = static_cast<uint8_t>(i >= kWeights ? x_bytes / 4 : kTileRows);
    }
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  MORAINE_INLINE ~Tiles() { asm volatile("tilerelease" ::: "memory"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  template <int kTile>
  MORAINE_INLINE void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  MORAINE_INLINE void load(const void* p, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  MORAINE_INLINE void store(void* p, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(kTile) : "memory");
  }
  // sums += x times weights; x signed, weights signed or not.
  template <int kTo, int kA, int kB>
  MORAINE_INLINE void add_signed() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kTo), "i"(kA), "i"(kB));
  }
  template <int kTo, int kA, int kB>
  MORAINE_INLINE void add_unsigned() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kTo), "i"(kA), "i"(kB));
  }
};

// The rows of activations that share a tile, n <= 16 of them from m. While the tile unit multiplies some, the
// vector units finish those before.
struct Rows {
  int m = 0, n = 0;
};

struct Quants {
  const int8_t* q;
  int64_t stride;
};

constexpr int kPackedRows = 128;   // of activations, together
constexpr int kPackedGroups = 16;  // of weights that meet them before the next are packed

// Block b of rows m..m+n_rows-1, one behind the other. What lies behind the last is anything.
template <int kWidth>
MORAINE_INLINE void pack(const QuantRows& x, int m, int n_rows, int b, int8_t (*to)[kWidth]) {
  const int8_t* q = x.q + m * x.q_stride + static_cast<int64_t>(kWidth) * b;
  for (int i = 0; i < n_rows; ++i, q += x.q_stride)
#pragma GCC unroll 4
    for (int c = 0; c < kWidth; c += 64) _mm512_store_si512(to[i] + c, _mm512_loadu_si512(q + c));
}

// Bytes begin..begin+n-1 of both groups, towards the first-level cache.
template <int begin, int n>
MORAINE_INLINE void fetch(const avx512::Pair& w) {
#pragma GCC unroll 8
  for (int i = begin / 64 * 64; i < begin + n; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(w.w0 + i), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(w.w1 + i), _MM_HINT_T0);
  }
}

// Fewer rows than a tile's are copied: a tile's loads would read what lies behind the last row.
MORAINE_INLINE Quants whole_tile(const Activations& x, int n_rows, int n_bytes,
                                 int8_t (&copy)[kTileRows][256]) {
  if (n_rows == kTileRows) return {x.q, x.q_stride};
  for (int i = 0; i < n_rows; ++i) memcpy(copy[i], x.q + i * x.q_stride, static_cast<size_t>(n_bytes));
  return {copy[0], 256};
}

}  // namespace
}  // namespace moraine::cpu::amx

// A kernel by its name: few rows are left to AVX-512, others are for the file's matmul<Format>().
#define MORAINE_AMX_MATMUL(name, Format)    \
  void name(const MatmulArgs& a) noexcept { \
    if (a.n_rows < kLeastRows)              \
      avx512::name(a);                      \
    else                                    \
      matmul<Format>(a);                    \
  }
