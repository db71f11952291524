#include "speculation/controller.h"

#include <algorithm>
#include <cmath>

namespace moraine::speculation {
namespace {

constexpr double kNewest = 0.2;         // weight of the newest measurement
constexpr double kForget = 0.98;        // of earlier trials, with each new one
constexpr double kPriorTrials = 4;      // that the prior counts for
constexpr double kLeastGain = 1.03;     // below, plain decoding is as good
constexpr double kUnknownSlope = 0.25;  // a further row's cost in single steps, before it was measured
constexpr int32_t kProbeLength = 4;
constexpr int32_t kLongestInterval = 2048;

}  // namespace

const char* name_of(Source s) {
  constexpr const char* kNames[] = {"request", "history", "script"};
  return kNames[static_cast<int>(s)];
}

int Controller::class_of(int32_t match) { return match >= 24 ? 3 : match >= 8 ? 2 : match >= 5 ? 1 : 0; }

std::array<std::array<Controller::Part, Controller::kClasses>, kNumSources> Controller::initial() {
  std::array<std::array<Part, kClasses>, kNumSources> parts;
  constexpr double kPriors[kClasses] = {0.35, 0.55, 0.75, 0.9};
  for (auto& of_source : parts)
    for (int i = 0; i < kClasses; ++i) of_source[i].prior = kPriors[i];
  return parts;
}

double Controller::Part::rate() const { return (held + prior * kPriorTrials) / (tried + kPriorTrials); }

void Controller::measured(int32_t rows, double seconds) {
  if (rows < 1) return;
  double& s = seconds_[std::min<size_t>(rows, seconds_.size() - 1)];
  s = s <= 0 ? seconds : (1 - kNewest) * s + kNewest * seconds;
}

double Controller::cost(int32_t rows) const {
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

// Tokens a second of this sequence with so long a draft, against plain decoding.
double Controller::rate_of(double p, int32_t length, int32_t other_rows) const {
  const double plain = cost(other_rows + 1);
  if (plain <= 0) return 1;
  const double tokens = p < 1 ? (1 - std::pow(p, length + 1)) / (1 - p) : length + 1;
  return tokens * plain / cost(other_rows + 1 + length);
}

int32_t Controller::choose(Source source, int32_t match, int32_t available, int32_t other_rows) {
  if (available <= 0) return 0;
  Part& c = part(source, match);
  const double p = c.rate();
  int32_t best = 0;
  double gain = kLeastGain;
  for (int32_t k = 1; k <= available; ++k)
    if (const double rate = rate_of(p, k, other_rows); rate > gain) best = k, gain = rate;
  if (best > 0) return best;
  // What was bad is tried again now and then: the text may have changed.
  if (c.rest-- > 0) return 0;
  c.rest = c.interval;
  return std::min(available, kProbeLength);
}

void Controller::outcome(Source source, int32_t match, int32_t drafted, int32_t accepted) {
  Part& c = part(source, match);
  for (int32_t i = 0; i < drafted && i <= accepted; ++i) {
    c.held = c.held * kForget + (i < accepted);
    c.tried = c.tried * kForget + 1;
  }
  if (2 * accepted < drafted)
    c.interval = std::min(kLongestInterval, 2 * c.interval);
  else
    c.interval = 64;
}

}  // namespace moraine::speculation
