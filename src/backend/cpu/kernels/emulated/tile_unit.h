// The tile unit of ../amx/tile_unit.h in plain C++: for tests on machines without AMX, never in the product.
// Written from Intel's description of the instructions, not from the kernels: shapes that the hardware would
// refuse end the program, as they do there.
#pragma once

#include <stdint.h>
#include <string.h>

namespace moraine::cpu::amx {
namespace {

class TileUnit {
 public:
  explicit TileUnit(const TileShapes& shapes) : shapes_(shapes) {
    for (int i = 0; i < 8; ++i)
      if (shapes.rows[i] > 16 || shapes.row_bytes[i] > 64) __builtin_trap();
  }
  TileUnit(const TileUnit&) = delete;
  TileUnit& operator=(const TileUnit&) = delete;

  template <int kTile>
  void zero() {
    memset(bytes_[kTile], 0, sizeof bytes_[kTile]);
  }
  template <int kTile>
  void load(const void* p, int64_t stride) {
    zero<kTile>();  // the bytes behind a row's last and the rows behind the last become 0
    for (int r = 0; r < shapes_.rows[kTile]; ++r)
      memcpy(bytes_[kTile][r], static_cast<const uint8_t*>(p) + r * stride, shapes_.row_bytes[kTile]);
  }
  template <int kTile>
  void store(void* p, int64_t stride) const {
    for (int r = 0; r < shapes_.rows[kTile]; ++r)
      memcpy(static_cast<uint8_t*>(p) + r * stride, bytes_[kTile][r], shapes_.row_bytes[kTile]);
  }
  template <int kTo, int kA, int kB>
  void add_signed() {
    multiply<int8_t>(kTo, kA, kB);
  }
  template <int kTo, int kA, int kB>
  void add_unsigned() {
    multiply<uint8_t>(kTo, kA, kB);
  }

 private:
  // to[m][n] += a[m][4k + i] b[k][4n + i] over k and i < 4; a signed, b of type B.
  template <class B>
  void multiply(int to, int a, int b) {
    const int rows = shapes_.rows[to], columns = shapes_.row_bytes[to] / 4, steps = shapes_.row_bytes[a] / 4;
    if (to == a || to == b || a == b || shapes_.rows[a] != rows || shapes_.rows[b] != steps ||
        shapes_.row_bytes[b] != shapes_.row_bytes[to])
      __builtin_trap();
    for (int m = 0; m < rows; ++m) {
      int32_t sums[16];
      memcpy(sums, bytes_[to][m], sizeof sums);
      for (int k = 0; k < steps; ++k)
        for (int n = 0; n < columns; ++n)
          for (int i = 0; i < 4; ++i)
            sums[n] += static_cast<int8_t>(bytes_[a][m][4 * k + i]) * static_cast<B>(bytes_[b][k][4 * n + i]);
      memcpy(bytes_[to][m], sums, sizeof sums);
    }
  }

  TileShapes shapes_;
  uint8_t bytes_[8][16][64] = {};
};

}  // namespace
}  // namespace moraine::cpu::amx
