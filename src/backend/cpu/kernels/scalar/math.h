// Scalar arithmetic shared by the scalar kernels and the drivers: half conversions, exp, and the fixed
// reduction trees. Each is the specification that the vector kernels follow operation by operation.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

namespace moraine::cpu {
namespace {

[[maybe_unused]] inline float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;
  uint32_t bits;
  float f;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact
    f = static_cast<float>(mantissa) * 0x1p-24f;
    memcpy(&bits, &f, 4);
    bits |= sign;
  } else {
    bits = sign | ((exponent == 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
  }
  memcpy(&f, &bits, 4);
  return f;
}

// Round to nearest even, as vcvtps2ph.
[[maybe_unused]] inline uint16_t float_to_half(float f) {
  uint32_t x;
  memcpy(&x, &f, 4);
  const uint16_t sign = static_cast<uint16_t>((x >> 16) & 0x8000);
  x &= 0x7fffffff;
  if (x > 0x7f800000) return sign | 0x7e00 | ((x >> 13) & 0x3ff);  // NaN stays NaN
  if (x >= 0x477ff000) return sign | 0x7c00;                       // rounds to infinity
  if (x < 0x38800000) {                                            // below the smallest normal half
    const float a = fabsf(f) * 0x1p24f;                            // exact: a power of two
    return sign | static_cast<uint16_t>(nearbyintf(a));
  }
  return sign | static_cast<uint16_t>((x - 0x38000000 + 0xfff + ((x >> 13) & 1)) >> 13);
}

[[maybe_unused]] inline uint16_t load_u16(const uint8_t* p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}
[[maybe_unused]] inline float load_half(const uint8_t* p) { return half_to_float(load_u16(p)); }

// exp(x), below 2 ulp on [-87.3, 88]; 0 below. Cody-Waite reduction and the degree-6 polynomial of
// Cephes' expf (S. Moshier), every step a single fused operation so that all widths agree.
[[maybe_unused]] inline float exp_spec(float x) {
  const bool zero = x < -87.33654f;
  x = x > -87.33654f ? x : -87.33654f;
  x = x < 88.37626f ? x : 88.37626f;
  const float n = nearbyintf(x * 1.44269504088896341f);
  float r = fmaf(n, -0.693359375f, x);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(p, r * r, r) + 1.0f;
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  float scale;
  memcpy(&scale, &bits, 4);
  return zero ? 0.0f : p * scale;
}

// lane[i] += lane[i + s] for s = n/2 .. 1; the sum is lane[0].
template <int n>
inline float tree_sum(float (&lane)[n]) {
  for (int s = n / 2; s > 0; s /= 2)
    for (int i = 0; i < s; ++i) lane[i] += lane[i + s];
  return lane[0];
}

}  // namespace
}  // namespace moraine::cpu
