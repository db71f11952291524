// Q8_0: 32 values in 34 bytes.
//   0   half   d
//   2   32 B   int8 q[j]
// value[j] = float(q[j]) * d
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/round.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace q8_0;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = half_to_float(load_u16(src + kD));
    for (int j = 0; j < kBlockLen; ++j)
      dst[j] = static_cast<float>(static_cast<int8_t>(src[kQuants + j])) * d;
  }
}

// Rounds to nearest, ties away from zero. q lies in [-127, 127]: kernels take absolute values.
void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace q8_0;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    const float d = std::fabs(extreme(src, kBlockLen)) / 127.0f;
    const float inverse = inverse_or_zero(d);
    store_u16(dst + kD, float_to_half(d));
    for (int j = 0; j < kBlockLen; ++j) {
      const float x = finite(src[j]) * inverse;
      const int q = truncate_clamped(std::round(std::fabs(x)), 127);
      dst[kQuants + j] = static_cast<uint8_t>(static_cast<int8_t>(x < 0.0f ? -q : q));
    }
  }
}

}  // namespace

constinit const Format kQ8_0{DType::kQ8_0, unpack, pack};

}  // namespace moraine::quant
