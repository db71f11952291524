// Q4_1: 32 values in 20 bytes.
//   0   half   d
//   2   half   min
//   4   16 B   byte j: low nibble q[j], high nibble q[j + 16]
// value[j] = d * float(q[j]) + min
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/round.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q4_1;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    const float min = half_to_float(load_u16(src + kMin));
    for (int j = 0; j < 16; ++j) {
      const uint8_t q = src[kQuants + j];
      dst[j] = d * static_cast<float>(q & 15) + min;
      dst[j + 16] = d * static_cast<float>(q >> 4) + min;
    }
  }
}

void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q4_1;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    const Range r = range(src, kBlockLen);
    const float d = (r.max - r.min) / 15.0f;
    const float inverse = inverse_or_zero(d);
    store_u16(dst + kD, float_to_half(d));
    store_u16(dst + kMin, float_to_half(r.min));
    for (int j = 0; j < 16; ++j) {
      const int lo = truncate_clamped((finite(src[j]) - r.min) * inverse + 0.5f, 15);
      const int hi = truncate_clamped((finite(src[j + 16]) - r.min) * inverse + 0.5f, 15);
      dst[kQuants + j] = static_cast<uint8_t>(lo | hi << 4);
    }
  }
}

}  // namespace

constinit const Format kQ4_1{DType::kQ4_1, unpack, pack};

}  // namespace moraine::quant
