// What steps take by the number of their rows: measured as they run, newer measurements counting more, and
// filled in between.
#pragma once

#include <cstdint>
#include <vector>

namespace moraine::speculation {

class StepCosts {
 public:
  explicit StepCosts(int32_t most_rows) : seconds_(most_rows + 1, 0.0) {}

  void measured(int32_t rows, double seconds);
  // What such a step is expected to take; 0 before anything was measured. Never falls with the rows.
  double of(int32_t rows) const;

 private:
  std::vector<double> seconds_;  // by rows; 0: not measured
};

}  // namespace moraine::speculation
