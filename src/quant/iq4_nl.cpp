// IQ4_NL: 32 values in 18 bytes; four bits choose one of 16 values (kIq4Values in layout.h).
//   0   half   d
//   2   16 B   byte j: low nibble c[j], high nibble c[j + 16]
// value[j] = d * float(kIq4Values[c[j]])
#include "quant/codebook_search.h"
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace iq4_nl;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    for (int j = 0; j < 16; ++j) {
      const uint8_t codes = src[kQuants + j];
      dst[j] = d * static_cast<float>(kIq4Values[codes & 15]);
      dst[j + 16] = d * static_cast<float>(kIq4Values[codes >> 4]);
    }
  }
}

void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace iq4_nl;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    CodebookBlock fit;
    fit_codebook(src, {.n_sub = 1, .scale_min = 1, .scale_max = 1}, fit);
    store_u16(dst + kD, fit.d);
    for (int j = 0; j < 16; ++j)
      dst[kQuants + j] = static_cast<uint8_t>(fit.codes[j] | fit.codes[j + 16] << 4);
  }
}

}  // namespace

constinit const Format kIQ4_NL{DType::kIQ4_NL, unpack, pack};

}  // namespace moraine::quant
