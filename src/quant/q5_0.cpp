// Q5_0: 32 values in 22 bytes.
//   0   half   d
//   2   u32    bit j: bit 4 of q[j]
//   6   16 B   byte j: low nibble bits 0-3 of q[j], high nibble bits 0-3 of q[j + 16]
// value[j] = d * float(q[j] - 16)
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/round.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q5_0;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    const uint32_t high = load_u32(src + kHighBits);
    for (int j = 0; j < 16; ++j) {
      const int lo = (src[kQuants + j] & 15) | static_cast<int>(high >> j & 1) << 4;
      const int hi = src[kQuants + j] >> 4 | static_cast<int>(high >> (j + 16) & 1) << 4;
      dst[j] = d * static_cast<float>(lo - 16);
      dst[j + 16] = d * static_cast<float>(hi - 16);
    }
  }
}

// The value of largest magnitude (the first of equals) becomes exactly q = 0, that is -16 * d.
void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q5_0;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    const float d = extreme(src, kBlockLen) / -16.0f;
    const float inverse = inverse_or_zero(d);
    uint32_t high = 0;
    for (int j = 0; j < 16; ++j) {
      const int lo = truncate_clamped(finite(src[j]) * inverse + 16.5f, 31);
      const int hi = truncate_clamped(finite(src[j + 16]) * inverse + 16.5f, 31);
      dst[kQuants + j] = static_cast<uint8_t>((lo & 15) | (hi & 15) << 4);
      high |= static_cast<uint32_t>(lo >> 4) << j | static_cast<uint32_t>(hi >> 4) << (j + 16);
    }
    store_u16(dst + kD, float_to_half(d));
    store_u32(dst + kHighBits, high);
  }
}

}  // namespace

constinit const Format kQ5_0{DType::kQ5_0, unpack, pack};

}  // namespace moraine::quant
