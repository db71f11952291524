// How much of somebody's prompt goes into a step, by what steps took: streams wait no longer than they were
// promised, and have their share of the time. By the numerics contract where a prompt is cut changes no bit.
#pragma once

#include <cstdint>

namespace moraine::engine {

class Pace {
 public:
  static constexpr int32_t kMinSlice = 16;     // rows
  static constexpr double kDecodeShare = 0.3;  // of the time, what streams have beside prompts

  // What a cancel or a new request waits for is max_stall_seconds at most, half of it for streams that decode
  // beside.
  Pace(double max_stall_seconds, int32_t max_rows) : stall_(max_stall_seconds), max_rows_(max_rows) {}

  // Rows of prompts in the next step, beside streams or alone.
  int32_t slice_rows(bool beside_decode) const;
  // After a slice streams go on alone until they had their share of the time: a large slice now and then,
  // since many rows share what is read for them.
  bool streams_go_alone() const { return owed_ > 0; }
  void nobody_waits() { owed_ = 0; }  // no stream beside prompts, or no prompt beside streams
  // A step took so long: n_rows, of which prefill_rows were of prompts; with drafts among the others or not.
  void measured(int32_t n_rows, int32_t prefill_rows, bool has_drafts, double seconds);

  double seconds_per_row() const { return per_row_; }  // of a prompt; 0: not known yet

 private:
  double stall_;
  int32_t max_rows_;
  double per_row_ = 0;     // of prefill, a moving average
  double per_decode_ = 0;  // of a step that decodes alone, another
  double owed_ = 0;        // seconds of prefill beyond its share
};

}  // namespace moraine::engine
