// What the packers of the block formats share: inputs made finite, and a float-to-integer step that
// is defined for every float.
#pragma once

#include <cfloat>
#include <cmath>

namespace moraine::quant {

// Block formats hold neither NaN nor infinity: NaN becomes 0, an infinity the largest float.
inline float finite(float x) noexcept {
  if (std::isnan(x)) return 0.0f;
  return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x;
}

// The value of largest magnitude, the first of equals.
inline float extreme(const float* x, int n) noexcept {
  float found = finite(x[0]);
  for (int i = 1; i < n; ++i)
    if (std::fabs(finite(x[i])) > std::fabs(found)) found = finite(x[i]);
  return found;
}

struct Range {
  float min;
  float max;
};

inline Range range(const float* x, int n) noexcept {
  Range r{finite(x[0]), finite(x[0])};
  for (int i = 1; i < n; ++i) {
    const float v = finite(x[i]);
    if (v < r.min) r.min = v;
    if (v > r.max) r.max = v;
  }
  return r;
}

// Truncation towards zero, clamped to [0, max]; NaN gives 0. A bare conversion is undefined out of
// range.
inline int truncate_clamped(float x, int max) noexcept {
  if (!(x > 0.0f)) return 0;
  return x >= static_cast<float>(max) ? max : static_cast<int>(x);
}

// 1/d, and 0 where d is 0 or so small that 1/d is infinite: such a d is 0 as a half anyway.
inline float inverse_or_zero(float d) noexcept {
  const float inverse = 1.0f / d;
  return d == 0.0f || std::isinf(inverse) ? 0.0f : inverse;
}

}  // namespace moraine::quant
