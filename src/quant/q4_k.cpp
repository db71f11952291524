// Q4_K: 256 values in 144 bytes, eight sub-blocks of 32.
//   0    half    d
//   2    half    dmin
//   4    12 B    6-bit scale[s] and min[s] of sub-block s: decode_scales_mins in layout.h
//   16   128 B   four chunks of 32: byte j of chunk c has q[j] of sub-block 2c in its low nibble,
//                q[j] of sub-block 2c + 1 in its high
// value[32 s + j] = (d * float(scale[s])) * float(q) - (dmin * float(min[s]))
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/scale_search.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q4_k;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes) {
    const float d = half_to_float(load_u16(src + kD));
    const float dmin = half_to_float(load_u16(src + kDMin));
    uint8_t scales[kSubBlocks], mins[kSubBlocks];
    decode_scales_mins(src + kScales, scales, mins);
    for (int s = 0; s < kSubBlocks; ++s) {
      const float scale = d * static_cast<float>(scales[s]);
      const float min = dmin * static_cast<float>(mins[s]);
      const uint8_t* quants = src + kQuants + s / 2 * 32;
      for (int j = 0; j < kSubBlockLen; ++j) {
        const int q = quants[j] >> (s % 2 * 4) & 15;
        *dst++ = scale * static_cast<float>(q) - min;
      }
    }
  }
}

void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q4_k;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    AffineBlock fit;
    fit_affine(src, {.n_sub = kSubBlocks, .sub_len = kSubBlockLen, .q_max = 15, .scale_max = 63}, fit);
    store_u16(dst + kD, fit.d);
    store_u16(dst + kDMin, fit.dmin);
    encode_scales_mins(fit.scales, fit.mins, dst + kScales);
    for (int i = 0; i < 128; ++i) {
      const uint8_t* q = fit.q + i / 32 * 64 + i % 32;
      dst[kQuants + i] = static_cast<uint8_t>(q[0] | q[32] << 4);
    }
  }
}

}  // namespace

constinit const Format kQ4_K{DType::kQ4_K, unpack, pack};

}  // namespace moraine::quant
