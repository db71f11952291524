// What the tile unit can do at most: the yardstick of `moraine bench ops` (../kernels.h, struct Probes).
#include "backend/cpu/kernels/amx/kernels.h"
#include "backend/cpu/kernels/amx/tiles.h"

namespace moraine::cpu::amx {

// Four sums of two tiles of activations and two of weights, all in registers: no loads.
int64_t probe_int8(int64_t repetitions) noexcept {
  alignas(64) static const int8_t zeros[64] = {};
  TileUnit tiles(shapes(64, kTileRows));
  tiles.load<4>(zeros, 0), tiles.load<5>(zeros, 0), tiles.load<6>(zeros, 0), tiles.load<7>(zeros, 0);
  tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
  for (int64_t r = 0; r < repetitions; ++r) {
    tiles.add_signed<0, 4, 6>();
    tiles.add_signed<1, 4, 7>();
    tiles.add_signed<2, 5, 6>();
    tiles.add_signed<3, 5, 7>();
  }
  return repetitions * 4 * 2 * 16 * 16 * 64;
}

}  // namespace moraine::cpu::amx
