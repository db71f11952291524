// What `moraine usage` prints, in three forms. Pure: from sums to text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "usage/prices.h"
#include "usage/summary.h"

namespace moraine::app {

struct UsageReport {
  usage::By by = usage::By::kDay;
  std::vector<usage::Sums> rows;
  usage::Sums total;
  usage::Price price;
  usage::PriceTable table;
  std::string table_file;  // "": the program's own
  // Mean watts while requests were answered; empty: unknown. `counted`: by the CPU's counters, else by
  // --watts.
  std::optional<double> watts;
  bool counted = false;

  double charge(const usage::Sums& sums) const {
    return usage::charge(price, sums.n_fresh, sums.n_cached, sums.n_generated);
  }
  double kwh(const usage::Sums& sums) const { return watts.value_or(0) * sums.busy_ms / 3.6e9; }
};

std::string usage_text(const UsageReport& report,
                       int width);  // a table with bars, of at most `width` columns
std::string usage_json(const UsageReport& report);
std::string usage_csv(const UsageReport& report);

}  // namespace moraine::app
