// Decides how many drafted tokens a step verifies, from what steps cost and how often drafts held: the length
// that makes the most tokens a second, or none where plain decoding is as good. One for an engine.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace moraine::speculation {

enum class Source : uint8_t { kRequest, kHistory, kScript };
constexpr int kNumSources = 3;
const char* name_of(Source s);  // "request", "history", "script"

class Controller {
 public:
  explicit Controller(int32_t most_rows) : seconds_(most_rows + 1, 0.0) {}

  // A step of so many rows that only decoded took so long.
  void measured(int32_t rows, double seconds);
  // What such a step is expected to take; 0 before anything was measured. Never falls with the rows.
  double cost(int32_t rows) const;

  // How many of `available` drafted tokens to verify beside `other_rows` rows of the step. match: tokens
  // before the draft that agreed with where it comes from.
  int32_t choose(Source source, int32_t match, int32_t available, int32_t other_rows);
  // Of `drafted` tokens the first `accepted` held.
  void outcome(Source source, int32_t match, int32_t drafted, int32_t accepted);

  // The chance that a drafted token holds, those before it having held.
  double acceptance(Source source, int32_t match) const { return part(source, match).rate(); }

 private:
  static constexpr int kClasses = 4;  // of match lengths
  static int class_of(int32_t match);
  // Trials, of which older ones count less and less.
  struct Part {
    double held = 0, tried = 0, prior = 0.5;
    int32_t rest = 0;       // drafts to pass over before the next probe
    int32_t interval = 64;  // between probes; doubles while they fail
    double rate() const;
  };
  const Part& part(Source s, int32_t match) const { return parts_[static_cast<int>(s)][class_of(match)]; }
  Part& part(Source s, int32_t match) { return parts_[static_cast<int>(s)][class_of(match)]; }
  double rate_of(double p, int32_t length, int32_t other_rows) const;

  std::vector<double> seconds_;  // by rows; 0: not measured
  std::array<std::array<Part, kClasses>, kNumSources> parts_ = initial();
  static std::array<std::array<Part, kClasses>, kNumSources> initial();
};

}  // namespace moraine::speculation
