// MXFP4: 32 values in 17 bytes; four bits are a float of its own, E2M1 (kTwiceValues in layout.h).
//   0   u8     e: the scale is 2^(e - 127)
//   1   16 B   byte j: low nibble c[j], high nibble c[j + 16]
// value[j] = 2^(e - 128) * float(kTwiceValues[c[j]])
#include <cmath>

#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"
#include "quant/round.h"

namespace moraine::quant {
namespace {

void unpack(const uint8_t* src, size_t n_blocks, float* dst) noexcept {
  using namespace mxfp4;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockBytes, dst += kBlockLen) {
    const float d = float_from_bits(half_e8m0_bits(src[kExponent]));
    for (int j = 0; j < 16; ++j) {
      const uint8_t codes = src[kQuants + j];
      dst[j] = d * static_cast<float>(kTwiceValues[codes & 15]);
      dst[j + 16] = d * static_cast<float>(kTwiceValues[codes >> 4]);
    }
  }
}

// The nearest value, the first code of equals.
int nearest(float x, float d) noexcept {
  int best = 0;
  for (int c = 1; c < 16; ++c) {
    const auto error = [&](int code) {
      return std::fabs(d * static_cast<float>(mxfp4::kTwiceValues[code]) - x);
    };
    if (error(c) < error(best)) best = c;
  }
  return best;
}

// The exponent puts the largest magnitude between 4 and 8 times the scale: 6 is the largest value.
void pack(const float* src, size_t n_blocks, uint8_t* dst) noexcept {
  using namespace mxfp4;
  for (size_t b = 0; b < n_blocks; ++b, src += kBlockLen, dst += kBlockBytes) {
    const float largest = std::fabs(extreme(src, kBlockLen));
    int e = 0;
    if (largest > 0) {
      std::frexp(largest, &e);  // largest = m * 2^e with m from 1/2 to 1
      e = e - 1 - 2 + 127;
      if (e < 0) e = 0;
    }
    const float d = float_from_bits(half_e8m0_bits(static_cast<uint8_t>(e)));
    dst[kExponent] = static_cast<uint8_t>(e);
    for (int j = 0; j < 16; ++j) {
      const int lo = nearest(finite(src[j]), d), hi = nearest(finite(src[j + 16]), d);
      dst[kQuants + j] = static_cast<uint8_t>(lo | hi << 4);
    }
  }
}

}  // namespace

constinit const Format kMXFP4{DType::kMXFP4, unpack, pack};

}  // namespace moraine::quant
