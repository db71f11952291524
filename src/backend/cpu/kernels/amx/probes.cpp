// What the tile unit can do at most: the yardstick of `moraine bench ops` (../kernels.h, struct Probes).
#include "backend/cpu/kernels/amx/kernels.h"
#include "backend/cpu/kernels/amx/tiles.h"

namespace moraine::cpu::amx {

// Four sums of two tiles of activations and two of weights, all in registers: no loads.
int64_t probe_int8(int64_t repetitions) noexcept {
  alignas(64) static const int8_t zeros[64] = {};
  Tiles tiles(64);
  tiles.load<kX>(zeros, 0), tiles.load<kX + 1>(zeros, 0);
  tiles.load<kWeights>(zeros, 0), tiles.load<kWeights + 1>(zeros, 0);
  tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
  for (int64_t r = 0; r < repetitions; ++r) {
    tiles.add_signed<0, kX, kWeights>();
    tiles.add_signed<1, kX, kWeights + 1>();
    tiles.add_signed<2, kX + 1, kWeights>();
    tiles.add_signed<3, kX + 1, kWeights + 1>();
  }
  return repetitions * 4 * 2 * 16 * 16 * 64;
}

}  // namespace moraine::cpu::amx
