// Q6_K: 256 values in 210 bytes, sixteen sub-blocks of 16.
//   0     128 B   bits 0-3 of q: value 128 h + 32 g + j (h 0-1, g 0-3, j 0-31) is in byte
//                 64 h + 32 (g % 2) + j, low nibble for g < 2, high otherwise
//   128   64 B    bits 4-5 of q: the same value's are bits 2g and 2g + 1 of byte 32 h + j
//   192   16 B    int8 scale[s]
//   208   half    d
// value[16 s + k] = (d * float(scale[s])) * float(q - 32)
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/scale_search.h"

namespace moraine::quant {
namespace {

// Where value i of a block keeps its bits.
struct Place {
  int low_byte, low_shift;    // 4 bits, after kLowBits
  int high_byte, high_shift;  // 2 bits, after kHighBits
};

Place place(int i) noexcept {
  const int h = i / 128, g = i / 32 % 4, j = i % 32;
  return {64 * h + 32 * (g % 2) + j, g / 2 * 4, 32 * h + j, 2 * g};
}

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q6_k;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    for (int i = 0; i < kBlockLen; ++i) {
      const Place p = place(i);
      const float scale = d * static_cast<float>(static_cast<int8_t>(src[kScales + i / kSubBlockLen]));
      const int low = src[kLowBits + p.low_byte] >> p.low_shift & 15;
      const int high = src[kHighBits + p.high_byte] >> p.high_shift & 3;
      dst[i] = scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}

void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q6_k;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    SymmetricBlock fit;
    fit_symmetric(src,
                  {.n_sub = kSubBlocks,
                   .sub_len = kSubBlockLen,
                   .q_min = -32,
                   .q_max = 31,
                   .scale_min = -128,
                   .scale_max = 127},
                  fit);
    store_u16(dst + kD, fit.d);
    for (int s = 0; s < kSubBlocks; ++s) dst[kScales + s] = static_cast<uint8_t>(fit.scales[s]);
    for (int i = 0; i < kScales; ++i) dst[i] = 0;
    for (int i = 0; i < kBlockLen; ++i) {
      const Place p = place(i);
      const int q = fit.q[i] + 32;
      dst[kLowBits + p.low_byte] |= static_cast<uint8_t>((q & 15) << p.low_shift);
      dst[kHighBits + p.high_byte] |= static_cast<uint8_t>((q >> 4) << p.high_shift);
    }
  }
}

}  // namespace

constinit const Format kQ6_K{DType::kQ6_K, unpack, pack};

}  // namespace moraine::quant
