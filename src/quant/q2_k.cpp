// Q2_K: 256 values in 84 bytes, sixteen sub-blocks of 16.
//   0    16 B   byte s: low nibble scale[s], high nibble min[s]
//   16   64 B   value 128 h + 32 g + j (h 0-1, g 0-3, j 0-31) is bits 2g and 2g + 1 of byte 32 h + j
//   80   half   d
//   82   half   dmin
// value[16 s + k] = (d * float(scale[s])) * float(q) - (dmin * float(min[s]))
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/scale_search.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q2_k;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    const float dmin = half_to_float(load_u16(src + kDMin));
    for (int i = 0; i < kBlockLen; ++i) {
      const uint8_t packed = src[kScales + i / kSubBlockLen];
      const float scale = d * static_cast<float>(packed & 15);
      const float min = dmin * static_cast<float>(packed >> 4);
      const int q = src[kQuants + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
      dst[i] = scale * static_cast<float>(q) - min;
    }
  }
}

void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q2_k;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    AffineBlock fit;
    fit_affine(src, {.n_sub = kSubBlocks, .sub_len = kSubBlockLen, .q_max = 3, .scale_max = 15}, fit);
    store_u16(dst + kD, fit.d);
    store_u16(dst + kDMin, fit.dmin);
    for (int s = 0; s < kSubBlocks; ++s)
      dst[kScales + s] = static_cast<uint8_t>(fit.scales[s] | fit.mins[s] << 4);
    for (int i = 0; i < 64; ++i) {
      const uint8_t* q = fit.q + i / 32 * 128 + i % 32;
      dst[kQuants + i] = static_cast<uint8_t>(q[0] | q[32] << 2 | q[64] << 4 | q[96] << 6);
    }
  }
}

}  // namespace

constinit const Format kQ2_K{DType::kQ2_K, unpack, pack};

}  // namespace moraine::quant
