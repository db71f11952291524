// What a cloud model would have charged: a table of prices that users edit (prices.json is the one that the
// program has), and the sum for some tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::usage {

struct Price {  // for a million tokens
  std::string name;
  double input = 0, cached = 0, output = 0;
};

struct PriceTable {
  std::string date, source, currency;
  std::string compare;  // the model to compare with, where none is named
  std::vector<Price> models;
  double electricity_per_kwh = 0;

  // By its name; "" is `compare`. Throws Error{kNotFound} with the names there are.
  const Price& find(std::string_view name) const;
};

// Throws Error{kInvalidArgument} that says what is wrong in `file`.
PriceTable parse_prices(std::string_view json, const std::string& file);
std::string_view default_prices();  // prices.json

double charge(const Price& price, int64_t n_fresh, int64_t n_cached, int64_t n_generated);

}  // namespace moraine::usage
