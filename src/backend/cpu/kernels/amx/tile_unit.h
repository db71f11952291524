// The tile registers of AMX: eight, each of up to 16 rows of up to 64 bytes. Written as assembler because the
// compiler's intrinsics do not say that they read and write memory. A thread's tiles are set up when a
// TileUnit is made and given back when it goes; the process must have asked for them (base/cpu_features.h).
// Anonymous namespace throughout: see ../avx512/simd.h.
#pragma once

#include <stdint.h>

namespace moraine::cpu::amx {
namespace {

struct TileShapes {
  uint8_t rows[8];
  uint8_t row_bytes[8];
};

}  // namespace
}  // namespace moraine::cpu::amx

#ifdef MORAINE_EMULATED
#include "backend/cpu/kernels/emulated/tile_unit.h"
#else
namespace moraine::cpu::amx {
namespace {

class TileUnit {
 public:
  [[gnu::always_inline]] explicit TileUnit(const TileShapes& shapes) {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = shapes.row_bytes[i];
      config.rows[i] = shapes.rows[i];
    }
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  [[gnu::always_inline]] ~TileUnit() { asm volatile("tilerelease" ::: "memory"); }
  TileUnit(const TileUnit&) = delete;
  TileUnit& operator=(const TileUnit&) = delete;

  template <int kTile>
  [[gnu::always_inline]] void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  [[gnu::always_inline]] void load(const void* p, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  [[gnu::always_inline]] void store(void* p, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(kTile) : "memory");
  }
  // Products of kA's rows, signed bytes, and kB's columns, signed bytes or not, four by four, added to kTo.
  template <int kTo, int kA, int kB>
  [[gnu::always_inline]] void add_signed() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kTo), "i"(kA), "i"(kB));
  }
  template <int kTo, int kA, int kB>
  [[gnu::always_inline]] void add_unsigned() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kTo), "i"(kA), "i"(kB));
  }
};

}  // namespace
}  // namespace moraine::cpu::amx
#endif
