#include "backend/vulkan/submission.h"

#include <algorithm>
#include <bit>
#include <chrono>

namespace moraine::vulkan {
namespace {

constexpr float kNewWeight = 0.5f;  // of the latest measurement in an average

}  // namespace

size_t SliceClock::bucket(int32_t n_rows) noexcept {
  return std::min<size_t>(std::bit_width(static_cast<uint32_t>(std::max(n_rows, 1))), kBuckets - 1);
}

SliceClock::SliceClock(size_t n_pieces) : n_pieces_(n_pieces) {
  for (auto& bucket : seconds_) bucket.assign(n_pieces, -1.0f);
}

// Where so many rows were never measured: fewer rows take no more than their share of the time, more rows no
// less in all.
double SliceClock::estimate(size_t piece, int32_t n_rows) const noexcept {
  const size_t b = bucket(n_rows);
  for (size_t i = b; i > 0; --i)
    if (seconds_[i][piece] >= 0)
      return seconds_[i][piece] * (i == b ? 1.0 : static_cast<double>(n_rows) / std::max(rows_[i], 1));
  for (size_t i = b + 1; i < kBuckets; ++i)
    if (seconds_[i][piece] >= 0) return seconds_[i][piece];
  return -1;
}

size_t SliceClock::slice_end(size_t first, int32_t n_rows, double slice_seconds) const noexcept {
  double sum = estimate(first, n_rows);
  size_t end = first + 1;
  for (; sum >= 0 && end < n_pieces_; ++end) {
    const double next = estimate(end, n_rows);
    sum += next;
    if (next < 0 || sum > slice_seconds) break;
  }
  return end;
}

void SliceClock::measured(size_t first, size_t end, int32_t n_rows, double seconds) noexcept {
  double expected = 0;
  bool all_known = true;
  for (size_t i = first; i < end; ++i) {
    const double e = estimate(i, n_rows);
    all_known &= e >= 0;
    expected += std::max(e, 0.0);
  }
  for (size_t i = first; i < end; ++i) {
    const auto share =
        static_cast<float>(all_known && expected > 0 ? estimate(i, n_rows) * seconds / expected
                                                     : seconds / static_cast<double>(end - first));
    float& known = seconds_[bucket(n_rows)][i];
    known = known < 0 ? share : known + kNewWeight * (share - known);
  }
  rows_[bucket(n_rows)] = n_rows;
}

VkResult Submission::run(std::span<const VkCommandBuffer> pieces, size_t first_piece, size_t end_piece,
                         int32_t n_rows, SliceClock& clock) noexcept {
  using Clock = std::chrono::steady_clock;
  ends_.clear();
  longest_ = 0;
  Clock::time_point before = Clock::now();
  VkResult result = VK_SUCCESS;
  const uint64_t submitted = timeline_.submitted();
  for (size_t first = first_piece; first < end_piece && result == VK_SUCCESS; first = ends_.back()) {
    ends_.push_back(std::min(end_piece, clock.slice_end(first, n_rows, slice_seconds_)));
    result = timeline_.submit(pieces.subspan(first, ends_.back() - first));
  }
  size_t first = first_piece;
  for (uint64_t slice = submitted + 1; slice <= timeline_.submitted() && result == VK_SUCCESS; ++slice) {
    result = timeline_.wait(slice);
    if (result != VK_SUCCESS) break;
    const Clock::time_point now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - before).count();
    const size_t end = ends_[slice - submitted - 1];
    clock.measured(first, end, n_rows, seconds);
    longest_ = std::max(longest_, seconds);
    first = end, before = now;
  }
  // What was submitted before a failure still writes to memory that the caller is about to free.
  if (result != VK_SUCCESS && timeline_.submitted() > submitted) timeline_.wait(timeline_.submitted());
  return result;
}

}  // namespace moraine::vulkan
