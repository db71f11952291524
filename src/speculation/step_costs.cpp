#include "speculation/step_costs.h"

#include <algorithm>
#include <cmath>

namespace moraine::speculation {
namespace {

// Of a measurement's distance from what was expected, the part that is everybody's: the context grows,
// another program takes a core. Without it numbers of rows that are rarely run would keep the costs of other
// times, and what is chosen is a ratio.
constexpr double kShared = 0.1;
constexpr double kOwn = 0.15;           // and the part that is its own, once it is known
constexpr double kMostRise = 2;         // a step that was interrupted says no more
constexpr double kMostWeight = 8;       // measurements that count
constexpr double kForget = 0.995;       // of them, with each step
constexpr double kKnownWeight = 3;      // from which on a point is no longer by chance where it is
constexpr double kLineWeight = 2;       // measurements that the line through all points counts for
constexpr double kUnknownSlope = 0.25;  // a further row's cost in single steps, before it was measured

}  // namespace

void StepCosts::measured(int32_t rows, double seconds) {
  if (rows < 1 || !(seconds > 0)) return;
  Point& p = points_[std::min<size_t>(rows, points_.size() - 1)];
  if (p.weight == 0) {
    const double expected = of(rows);
    p.seconds = expected > 0 ? std::min(seconds, 2 * kMostRise * expected) : seconds;
  } else {
    const double ratio = std::min(seconds / p.seconds, kMostRise);
    if (p.weight >= kKnownWeight) {
      const double shared = std::pow(std::max(ratio, 1 / kMostRise), kShared);
      for (Point& q : points_) q.seconds *= shared;
    }
    p.seconds *= std::pow(ratio, std::max(kOwn, 1 / (p.weight + 1)));
  }
  for (Point& q : points_) q.weight *= kForget;
  p.weight = std::min(kMostWeight, p.weight + 1);
  p.measured_at = ++n_measured_;
  fit();
}

// A line through all points, by the squares of relative errors; each point drawn towards it, the less the
// better it is known; and neighbours that fall pooled.
void StepCosts::fit() {
  double w = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (size_t i = 1; i < points_.size(); ++i) {
    const Point& p = points_[i];
    if (p.weight == 0) continue;
    const double weight = p.weight / (p.seconds * p.seconds), at = static_cast<double>(i) - 1;
    w += weight, x += weight * at, y += weight * p.seconds;
    xx += weight * at * at, xy += weight * at * p.seconds;
  }
  const double spread = w * xx - x * x;
  const bool one = spread <= 1e-9 * w * xx || xx == 0;
  // Of one point the slope is not known: begin / (1 + slope at) would be a single step.
  slope_ =
      one ? kUnknownSlope * (y / w) / (1 + kUnknownSlope * x / w) : std::max(0.0, (w * xy - x * y) / spread);
  const double begin = (y - slope_ * x) / w;
  for (size_t i = 1; i < points_.size(); ++i) {
    Point& p = points_[i];
    if (p.weight == 0) continue;
    const double line = std::max(0.0, begin + slope_ * (static_cast<double>(i) - 1));
    p.drawn = (p.weight * p.seconds + kLineWeight * line) / (p.weight + kLineWeight);
    p.fitted = p.drawn;
    double sum = p.drawn * p.weight, weight = p.weight;
    for (size_t j = i; --j > 0;) {
      if (points_[j].weight == 0) continue;
      if (points_[j].fitted <= sum / weight) break;
      sum += points_[j].drawn * points_[j].weight, weight += points_[j].weight;
      for (size_t k = j; k <= i; ++k) points_[k].fitted = sum / weight;
    }
  }
}

// Between what was measured, a line.
double StepCosts::of(int32_t rows) const {
  const auto n = static_cast<int32_t>(points_.size());
  rows = std::clamp(rows, 1, n - 1);
  int32_t low = rows, high = rows;
  while (low > 0 && points_[low].weight == 0) --low;
  while (high < n && points_[high].weight == 0) ++high;
  if (low == 0 && high == n) return 0;
  if (low == 0) return std::max(points_[high].fitted - slope_ * (high - rows), points_[high].fitted / high);
  const double from = points_[low].fitted;
  if (high == n) return from + slope_ * (rows - low);
  return high == low ? from : from + (points_[high].fitted - from) * (rows - low) / (high - low);
}

}  // namespace moraine::speculation
