// The table of prices that users edit, and the sum.
#include "usage/prices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

namespace moraine::usage {
namespace {

using ::testing::HasSubstr;

TEST(Prices, TheProgramsOwnTableIsOne) {
  const PriceTable table = parse_prices(default_prices(), "prices.json");
  EXPECT_EQ(table.find("").name, table.compare);
  EXPECT_FALSE(table.date.empty());
  EXPECT_FALSE(table.source.empty());
  for (const Price& p : table.models) EXPECT_LT(p.cached, p.input) << p.name;
}

TEST(Prices, CachedTokensAreChargedAtTheirRate) {
  const Price p{"x", 5, 0.5, 25};
  EXPECT_DOUBLE_EQ(charge(p, 1'000'000, 0, 0), 5);
  EXPECT_DOUBLE_EQ(charge(p, 0, 2'000'000, 0), 1);
  EXPECT_DOUBLE_EQ(charge(p, 100'000, 900'000, 10'000), 0.5 + 0.45 + 0.25);
}

TEST(Prices, AWrongTableIsRefusedWithItsMistake) {
  const auto why = [](const char* text) -> std::string {
    try {
      parse_prices(text, "p.json");
    } catch (const Error& e) {
      return e.what();
    }
    return "taken";
  };
  EXPECT_THAT(why("{"), HasSubstr("no JSON object"));
  EXPECT_THAT(why("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(why(R"({"models": []})"), HasSubstr("a list of models"));
  EXPECT_THAT(why(R"({"models": [{"name": "a", "input": -1, "output": 2}]})"), HasSubstr("\"input\" of a"));
  EXPECT_THAT(why(R"({"models": [{"name": "a", "input": 1, "output": "2"}]})"), HasSubstr("\"output\" of a"));
  EXPECT_THAT(why(R"({"models": [{"input": 1, "output": 2}]})"), HasSubstr("\"name\""));
  EXPECT_THAT(why(R"({"compare": "b", "models": [{"name": "a", "input": 1, "output": 2}]})"),
              HasSubstr("there are a"));
  EXPECT_EQ(why(R"({"models": [{"name": "a", "input": 1, "output": 2}]})"), "taken");
}

}  // namespace
}  // namespace moraine::usage
