// Q3_K: 256 values in 110 bytes, sixteen sub-blocks of 16.
//   0    32 B   bit i of byte j: bit 2 of q of value 32 i + j
//   32   64 B   bits 0-1 of q: value 128 h + 32 g + j (h 0-1, g 0-3, j 0-31) is bits 2g and 2g + 1 of
//               byte 32 h + j
//   96   12 B   6-bit scale[s]: q3_k_scale in layout.h
//   108  half   d
// value[16 s + k] = (d * float(scale[s])) * float(q - 4)
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/scale_search.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q3_k;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    for (int i = 0; i < kBlockLen; ++i) {
      const float scale = d * static_cast<float>(q3_k_scale(src + kScales, i / kSubBlockLen));
      const int low = src[kQuants + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
      const int high = src[kHighBits + i % 32] >> (i / 32) & 1;
      dst[i] = scale * static_cast<float>((low | high << 2) - 4);
    }
  }
}

void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q3_k;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    SymmetricBlock fit;
    fit_symmetric(src,
                  {.n_sub = kSubBlocks,
                   .sub_len = kSubBlockLen,
                   .q_min = -4,
                   .q_max = 3,
                   .scale_min = -32,
                   .scale_max = 31},
                  fit);
    for (int i = 0; i < kBlockBytes; ++i) dst[i] = 0;
    store_u16(dst + kD, fit.d);
    for (int s = 0; s < kSubBlocks; ++s) {
      const int scale = fit.scales[s] + 32;
      dst[kScales + s % 8] |= static_cast<uint8_t>((scale & 15) << (s / 8 * 4));
      dst[kScales + 8 + s % 4] |= static_cast<uint8_t>((scale >> 4) << (s / 4 * 2));
    }
    for (int i = 0; i < kBlockLen; ++i) {
      const int q = fit.q[i] + 4;
      dst[kQuants + i / 128 * 32 + i % 32] |= static_cast<uint8_t>((q & 3) << (i / 32 % 4 * 2));
      dst[kHighBits + i % 32] |= static_cast<uint8_t>((q >> 2) << (i / 32));
    }
  }
}

}  // namespace

constinit const Format kQ3_K{DType::kQ3_K, unpack, pack};

}  // namespace moraine::quant
