// Runs recorded commands in submissions short enough for a driver's watchdog: recent kernels reset a GPU
// whose submission takes 2 s, and whoever else draws with it waits for each. How long a piece of a recording
// takes is measured as it runs; what was never measured goes alone.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "backend/vulkan/device.h"

namespace moraine::vulkan {

// Seconds a submission should take at most: well below the 250 ms that one must never exceed, because an
// estimate is one.
constexpr double kSliceSeconds = 0.1;

// What each piece of one recording takes, by how many rows a step has.
class SliceClock {
 public:
  explicit SliceClock(size_t n_pieces);
  // Where a slice that begins with piece `first` should end.
  size_t slice_end(size_t first, int32_t n_rows, double slice_seconds) const noexcept;
  // Pieces [first, end) took so long together.
  void measured(size_t first, size_t end, int32_t n_rows, double seconds) noexcept;

 private:
  // Rows by their power of two: a decode row reads all weights, 512 rows read them once too.
  static constexpr size_t kBuckets = 18;
  static size_t bucket(int32_t n_rows) noexcept;
  double estimate(size_t piece, int32_t n_rows) const noexcept;  // < 0: unknown

  size_t n_pieces_;
  std::array<std::vector<float>, kBuckets> seconds_;  // by piece; < 0: never measured
  std::array<int32_t, kBuckets> rows_{};              // that were measured last
};

class Submission {
 public:
  explicit Submission(Device& device, double slice_seconds = kSliceSeconds)
      : slice_seconds_(slice_seconds), timeline_(device) {}

  // Runs pieces [first, end) of a recording, command buffers in order, and waits for all; clock: of all its
  // pieces.
  VkResult run(std::span<const VkCommandBuffer> pieces, size_t first, size_t end, int32_t n_rows,
               SliceClock& clock) noexcept;

  // Of the last run.
  int32_t n_slices() const { return static_cast<int32_t>(ends_.size()); }
  double longest_slice() const { return longest_; }  // seconds

 private:
  double slice_seconds_;
  Timeline timeline_;
  std::vector<size_t> ends_;  // of slices, by piece
  double longest_ = 0;
};

}  // namespace moraine::vulkan
