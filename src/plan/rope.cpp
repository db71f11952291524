#include "plan/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace moraine::plan {
namespace {

// Which pair turns so many times within the original context (YaRN, equation 17, solved for the pair).
double pair_of_turns(const RopeParams& p, double turns) {
  return p.n_rot * std::log(p.yarn_original_context / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(static_cast<double>(p.freq_base)));
}

// How much of the scaling each pair takes: 0 up to the last fast one, 1 from the first slow one on. The
// bounds are rounded to whole pairs and clamped as the published code does it.
class YarnRamp {
 public:
  explicit YarnRamp(const RopeParams& p)
      : low_(std::max(std::floor(pair_of_turns(p, p.yarn_beta_fast)), 0.0)),
        high_(std::min<double>(std::ceil(pair_of_turns(p, p.yarn_beta_slow)), p.n_rot - 1)) {
    if (low_ == high_) high_ += 0.001;
  }
  double operator()(int32_t pair) const { return std::clamp((pair - low_) / (high_ - low_), 0.0, 1.0); }

 private:
  double low_, high_;
};

}  // namespace

std::vector<float> rope_frequencies(const RopeParams& p, const float* freq_factors) {
  std::vector<float> freq;
  const bool yarn = p.yarn_original_context > 0;
  for (int32_t i = 0; i < p.n_rot / 2; ++i) {
    const double f = std::pow(static_cast<double>(p.freq_base), -2.0 * i / p.n_rot) /
                     (freq_factors ? freq_factors[i] : 1.0f);
    if (!yarn) {
      freq.push_back(static_cast<float>(f) * p.freq_scale);
      continue;
    }
    const double kept = (1 - YarnRamp(p)(i)) * p.yarn_ext_factor;
    freq.push_back(static_cast<float>(f * (kept + (1 - kept) * p.freq_scale)));
  }
  return freq;
}

void fill_rope_row(const RopeParams& p, const std::vector<float>& freq, int32_t position, float* cos,
                   float* sin) noexcept {
  double magnitude = p.magnitude;
  if (p.temperature_scale != 0)
    magnitude *= 1 + p.temperature_scale * std::log1p(std::floor(position / p.temperature_length));
  for (size_t i = 0; i < freq.size(); ++i) {
    const double angle = static_cast<float>(position) * freq[i];
    cos[i] = static_cast<float>(std::cos(angle) * magnitude);
    sin[i] = static_cast<float>(std::sin(angle) * magnitude);
  }
}

bool same_angles(const RopeParams& a, const RopeParams& b) noexcept {
  RopeParams c = b;
  c.kind = a.kind;
  return a == c;
}

}  // namespace moraine::plan
