// What steps take by the number of their rows: measured as they run, newer measurements counting more, and
// filled in between.
#pragma once

#include <cstdint>
#include <vector>

namespace moraine::speculation {

class StepCosts {
 public:
  explicit StepCosts(int32_t most_rows) : points_(most_rows + 1) {}

  void measured(int32_t rows, double seconds);
  // What such a step is expected to take; 0 before anything was measured. Never falls with the rows.
  double of(int32_t rows) const;
  // Steps since one of so many rows was measured.
  int64_t age(int32_t rows) const { return n_measured_ - points_[rows].measured_at; }

 private:
  struct Point {
    double seconds = 0, weight = 0;  // as measured; how often, up to some; 0: never
    double drawn = 0;                // towards the line
    double fitted = 0;               // the nearest that never falls with the rows
    int64_t measured_at = 0;
  };
  void fit();

  std::vector<Point> points_;  // by rows
  int64_t n_measured_ = 0;
  double slope_ = 0;  // seconds of a further row, by the line through all points
};

}  // namespace moraine::speculation
