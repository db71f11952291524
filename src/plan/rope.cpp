#include "plan/rope.h"

#include <cmath>

namespace moraine::plan {

std::vector<float> rope_frequencies(const RopeParams& p, const float* freq_factors) {
  std::vector<float> freq;
  for (int32_t i = 0; i < p.n_rot / 2; ++i) {
    const double f = std::pow(static_cast<double>(p.freq_base), -2.0 * i / p.n_rot) /
                     (freq_factors ? freq_factors[i] : 1.0f);
    freq.push_back(static_cast<float>(f) * p.freq_scale);
  }
  return freq;
}

void fill_rope_row(const std::vector<float>& freq, int32_t position, float* cos, float* sin) noexcept {
  for (size_t i = 0; i < freq.size(); ++i) {
    const double angle = static_cast<float>(position) * freq[i];
    cos[i] = static_cast<float>(std::cos(angle));
    sin[i] = static_cast<float>(std::sin(angle));
  }
}

bool same_angles(const RopeParams& a, const RopeParams& b) noexcept {
  return a.n_rot == b.n_rot && a.freq_base == b.freq_base && a.freq_scale == b.freq_scale &&
         a.freq_factors == b.freq_factors;
}

}  // namespace moraine::plan
