#include "speculation/step_costs.h"

#include <algorithm>

namespace moraine::speculation {
namespace {

constexpr double kNewest = 0.2;         // weight of the newest measurement
constexpr double kUnknownSlope = 0.25;  // a further row's cost in single steps, before it was measured

}  // namespace

void StepCosts::measured(int32_t rows, double seconds) {
  if (rows < 1) return;
  double& s = seconds_[std::min<size_t>(rows, seconds_.size() - 1)];
  s = s <= 0 ? seconds : (1 - kNewest) * s + kNewest * seconds;
}

double StepCosts::of(int32_t rows) const {
  const auto n = static_cast<int32_t>(seconds_.size());
  rows = std::clamp(rows, 1, n - 1);
  // Between what was measured, a line; and no step is cheaper than one of fewer rows.
  int32_t low = 0, high = 0;
  double floor = 0;
  for (int32_t i = 1; i <= rows; ++i)
    if (seconds_[i] > 0) low = i, floor = std::max(floor, seconds_[i]);
  for (int32_t i = n - 1; i >= rows; --i)
    if (seconds_[i] > 0) high = i;
  if (low == 0 && high == 0) return 0;
  double s;
  if (low == 0)
    s = seconds_[high] / (1 + kUnknownSlope * (high - rows));
  else if (high == 0)
    s = floor * (1 + kUnknownSlope * (rows - low) / low);
  else if (high == low)
    s = seconds_[low];
  else
    s = floor + std::max(0.0, seconds_[high] - floor) * (rows - low) / (high - low);
  return std::max(s, floor);
}

}  // namespace moraine::speculation
