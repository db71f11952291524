#include "engine/pace.h"

#include <algorithm>

namespace moraine::engine {
namespace {

constexpr double kNewest = 0.3;  // weight of the newest measurement

void average(double& mean, double now) { mean = mean <= 0 ? now : (1 - kNewest) * mean + kNewest * now; }

}  // namespace

int32_t Pace::slice_rows(bool beside_decode) const {
  if (per_row_ <= 0) return std::min(max_rows_, kMinSlice);  // the first slice measures
  const double seconds = stall_ * (beside_decode ? 0.5 : 1);
  return static_cast<int32_t>(
      std::clamp<double>(seconds / per_row_, std::min(kMinSlice, max_rows_), max_rows_));
}

void Pace::measured(int32_t n_rows, int32_t prefill_rows, bool has_drafts, double seconds) {
  const bool decodes = prefill_rows < n_rows;
  const double decode = prefill_rows == 0 ? seconds : decodes ? std::min(per_decode_, seconds) : 0;
  owed_ = std::max(0.0, owed_ + (seconds - decode) - decode * (1 / kDecodeShare - 1));
  if (prefill_rows >= kMinSlice / 2)
    average(per_row_, (seconds - decode) / prefill_rows);
  else if (prefill_rows == 0 && !has_drafts)
    average(per_decode_, seconds);
}

}  // namespace moraine::engine
