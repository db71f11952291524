// Q4_0: 32 values in 18 bytes.
//   0   half   d
//   2   16 B   byte j: low nibble q[j], high nibble q[j + 16]
// value[j] = d * float(q[j] - 8)
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/round.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q4_0;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    for (int j = 0; j < 16; ++j) {
      const uint8_t q = src[kQuants + j];
      dst[j] = d * static_cast<float>((q & 15) - 8);
      dst[j + 16] = d * static_cast<float>((q >> 4) - 8);
    }
  }
}

// The value of largest magnitude (the first of equals) becomes exactly q = 0, that is -8 * d.
void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q4_0;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    const float d = extreme(src, kBlockLen) / -8.0f;
    const float inverse = inverse_or_zero(d);
    store_u16(dst + kD, float_to_half(d));
    for (int j = 0; j < 16; ++j) {
      const int lo = truncate_clamped(finite(src[j]) * inverse + 8.5f, 15);
      const int hi = truncate_clamped(finite(src[j + 16]) * inverse + 8.5f, 15);
      dst[kQuants + j] = static_cast<uint8_t>(lo | hi << 4);
    }
  }
}

}  // namespace

constinit const Format kQ4_0{DType::kQ4_0, unpack, pack};

}  // namespace moraine::quant
