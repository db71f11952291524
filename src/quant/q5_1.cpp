// Q5_1: 32 values in 24 bytes.
//   0   half   d
//   2   half   min
//   4   u32    bit j: bit 4 of q[j]
//   8   16 B   byte j: low nibble bits 0-3 of q[j], high nibble bits 0-3 of q[j + 16]
// value[j] = d * float(q[j]) + min
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/round.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q5_1;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    const float min = half_to_float(load_u16(src + kMin));
    const uint32_t high = load_u32(src + kHighBits);
    for (int j = 0; j < 16; ++j) {
      const int lo = (src[kQuants + j] & 15) | static_cast<int>(high >> j & 1) << 4;
      const int hi = src[kQuants + j] >> 4 | static_cast<int>(high >> (j + 16) & 1) << 4;
      dst[j] = d * static_cast<float>(lo) + min;
      dst[j + 16] = d * static_cast<float>(hi) + min;
    }
  }
}

void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q5_1;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    const Range r = range(src, kBlockLen);
    const float d = (r.max - r.min) / 31.0f;
    const float inverse = inverse_or_zero(d);
    uint32_t high = 0;
    for (int j = 0; j < 16; ++j) {
      const int lo = truncate_clamped((finite(src[j]) - r.min) * inverse + 0.5f, 31);
      const int hi = truncate_clamped((finite(src[j + 16]) - r.min) * inverse + 0.5f, 31);
      dst[kQuants + j] = static_cast<uint8_t>((lo & 15) | (hi & 15) << 4);
      high |= static_cast<uint32_t>(lo >> 4) << j | static_cast<uint32_t>(hi >> 4) << (j + 16);
    }
    store_u16(dst + kD, float_to_half(d));
    store_u16(dst + kMin, float_to_half(r.min));
    store_u32(dst + kHighBits, high);
  }
}

}  // namespace

constinit const Format kQ5_1{DType::kQ5_1, unpack, pack};

}  // namespace moraine::quant
