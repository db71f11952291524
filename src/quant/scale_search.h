// The scale search behind packing the K formats: scales on two levels, a half for the whole block
// and a small integer for each sub-block, chosen to minimise the sum of squared errors of what
// unpacking will give. Where the bits go is the formats' business (q4_k.cpp, q6_k.cpp).
#pragma once

#include <cstdint>

namespace moraine::quant {

constexpr int kSuperBlockLen = 256;
constexpr int kMaxSubBlocks = 16;

// value = (d * scale[s]) * q - dmin * min[s], with scale and min in [0, scale_max], q in [0, q_max].
struct AffineShape {
  int n_sub, sub_len;  // n_sub * sub_len = 256
  int q_max, scale_max;
};

struct AffineBlock {
  uint16_t d, dmin;  // halves
  uint8_t scales[kMaxSubBlocks];
  uint8_t mins[kMaxSubBlocks];
  uint8_t q[kSuperBlockLen];
};

// value = (d * scale[s]) * q, with scale in [scale_min, scale_max], q in [q_min, q_max].
struct SymmetricShape {
  int n_sub, sub_len;  // n_sub * sub_len = 256
  int q_min, q_max;
  int scale_min, scale_max;
};

struct SymmetricBlock {
  uint16_t d;  // half
  int8_t scales[kMaxSubBlocks];
  int8_t q[kSuperBlockLen];
};

// x: 256 values, any floats: NaN counts as 0; values beyond the formats' reach saturate.
// Deterministic: the same bytes on every machine.
void fit_affine(const float* x, const AffineShape& shape, AffineBlock& out) noexcept;
void fit_symmetric(const float* x, const SymmetricShape& shape, SymmetricBlock& out) noexcept;

}  // namespace moraine::quant
