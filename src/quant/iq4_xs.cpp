// IQ4_XS: 256 values in 136 bytes, eight sub-blocks of 32; four bits choose one of 16 values
// (kIq4Values in layout.h).
//   0   half    d
//   2   u16     bits 2s and 2s + 1: bits 4-5 of scale[s] + 32
//   4   4 B     byte i: low nibble bits 0-3 of scale[2i] + 32, high nibble those of scale[2i + 1] + 32
//   8   128 B   byte j of sub-block s (16 each): low nibble c[j], high nibble c[j + 16]
// value[32 s + j] = (d * float(scale[s])) * float(kIq4Values[c])
#include "quant/codebook_search.h"
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace iq4_xs;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes) {
    const float d = half_to_float(load_u16(src + kD));
    for (int s = 0; s < kSubBlocks; ++s, dst += kSubBlockLen) {
      const int low = src[kScalesLow + s / 2] >> (s % 2 * 4) & 15;
      const int high = load_u16(src + kScalesHigh) >> (2 * s) & 3;
      const float scale = d * static_cast<float>((low | high << 4) - 32);
      for (int j = 0; j < 16; ++j) {
        const uint8_t codes = src[kQuants + 16 * s + j];
        dst[j] = scale * static_cast<float>(kIq4Values[codes & 15]);
        dst[j + 16] = scale * static_cast<float>(kIq4Values[codes >> 4]);
      }
    }
  }
}

void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace iq4_xs;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    CodebookBlock fit;
    fit_codebook(src, {.n_sub = kSubBlocks, .scale_min = -32, .scale_max = 31}, fit);
    for (int i = 0; i < kQuants; ++i) dst[i] = 0;
    store_u16(dst + kD, fit.d);
    for (int s = 0; s < kSubBlocks; ++s) {
      const int scale = fit.scales[s] + 32;
      dst[kScalesLow + s / 2] |= static_cast<uint8_t>((scale & 15) << (s % 2 * 4));
      dst[kScalesHigh + s / 4] |= static_cast<uint8_t>((scale >> 4) << (s % 4 * 2));
      for (int j = 0; j < 16; ++j) {
        const uint8_t* c = fit.codes + kSubBlockLen * s + j;
        dst[kQuants + 16 * s + j] = static_cast<uint8_t>(c[0] | c[16] << 4);
      }
    }
  }
}

}  // namespace

constinit const Format kIQ4_XS{DType::kIQ4_XS, unpack, pack};

}  // namespace moraine::quant
