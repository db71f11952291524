#include "server/api/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/api/errors.h"
#include "server/api/fields.h"

namespace moraine::server {
namespace {

std::string error_of(const std::string& text) {
  try {
    parse_json(text);
  } catch (const ApiError& e) {
    EXPECT_EQ(e.status, 400);
    return e.what();
  }
  return "";
}

TEST(Json, KeepsOrderAndNumbersAsPeopleWriteThem) {
  EXPECT_EQ(dump(parse_json(R"({"z":0.1,"a":1,"m":1e3})")), R"({"z":0.1,"a":1,"m":1000.0})");
}

TEST(Json, LoneSurrogatesBecomeReplacementCharacters) {
  EXPECT_EQ(dump(parse_json(R"(["\ud800","a\udc00b","\ud83d\ude00","\ud83dx"])")),
            "[\"\uFFFD\",\"a\uFFFDb\",\"\U0001F600\",\"\uFFFDx\"]");
  // A high one before a pair; an escaped backslash before a 'u'.
  EXPECT_EQ(dump(parse_json(R"(["\ud800\ud83d\ude00","\\ud800"])")), "[\"\uFFFD\U0001F600\",\"\\\\ud800\"]");
}

TEST(Json, ErrorsSayWhere) {
  EXPECT_NE(error_of(R"({"a": tru})").find("line 1, column 10"), std::string::npos)
      << error_of(R"({"a": tru})");
  EXPECT_NE(error_of("").find("no body"), std::string::npos);
  EXPECT_NE(error_of(" \n").find("no body"), std::string::npos);
  EXPECT_NE(error_of("{\"a\":\"\xff\"}").find("UTF-8"), std::string::npos);
}

TEST(Json, ErrorsDoNotQuoteTheWholeBody) {
  EXPECT_LT(error_of("[\"" + std::string(1 << 20, 'x')).size(), 1000u);
}

TEST(Json, RefusesNumbersThatNoDoubleHolds) {
  for (const char* text :
       {"[1e400]", "[-1e400]", "[NaN]", "[Infinity]", "[-Infinity]", "[01]", "[+1]", "[.5]"}) {
    EXPECT_NE(error_of(text), "") << text;
  }
  EXPECT_EQ(dump(parse_json("[1e-400]")), "[0.0]");
}

TEST(Json, DepthIsLimited) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(error_of(nested(kMaxJsonDepth)), "");
  EXPECT_NE(error_of(nested(kMaxJsonDepth + 1)).find("deeper"), std::string::npos);
  EXPECT_NE(error_of(std::string(10'000'000, '[')).find("deeper"), std::string::npos);
  EXPECT_EQ(error_of(R"(["[[[[", "\"[[["])"), "");  // brackets in strings do not count
}

TEST(Json, MembersAndValuesAreLimited) {
  std::string object = "{";
  for (std::size_t i = 0; i <= kMaxJsonMembers; ++i) object += "\"k" + std::to_string(i) + "\":0,";
  object.back() = '}';
  EXPECT_NE(error_of(object).find("members"), std::string::npos);
  std::string array = "[";
  for (std::size_t i = 0; i <= kMaxJsonValues; ++i) array += "0,";
  array.back() = ']';
  EXPECT_NE(error_of(array).find("values"), std::string::npos);
}

TEST(Json, OfDuplicateKeysTheLastCounts) {
  EXPECT_EQ(dump(parse_json(R"({"a":1,"b":2,"a":3})")), R"({"a":3,"b":2})");
}

TEST(Json, DumpReplacesBytesThatAreNoText) { EXPECT_EQ(dump(Json("a\xff")), "\"a\uFFFD\""); }

TEST(Fields, TypesAreChecked) {
  const Json json = parse_json(
      R"({"s":"x","i":3,"f":0.5,"whole":2.0,"b":true,"o":{"x":"y"},"n":null,"big":1e300,"huge":18446744073709551615})");
  const Fields fields(json);
  EXPECT_EQ(fields.string("s"), "x");
  EXPECT_EQ(fields.integer("i"), 3);
  EXPECT_EQ(fields.integer("whole"), 2);
  EXPECT_EQ(fields.number("f"), 0.5);
  EXPECT_EQ(fields.boolean("b"), true);
  EXPECT_EQ(fields.string("n"), std::nullopt);
  EXPECT_EQ(fields.string("absent"), std::nullopt);
  const auto param_of = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const ApiError& e) {
      return e.param;
    }
    return "no error";
  };
  EXPECT_EQ(param_of([&] { fields.string("i"); }), "i");
  EXPECT_EQ(param_of([&] { fields.integer("f"); }), "f");
  EXPECT_EQ(param_of([&] { fields.integer("s"); }), "s");
  EXPECT_EQ(param_of([&] { fields.integer("big"); }), "big");
  EXPECT_EQ(param_of([&] { fields.integer("huge"); }), "huge");
  EXPECT_EQ(param_of([&] { fields.integer("i", 4, 5); }), "i");
  EXPECT_EQ(param_of([&] { fields.number("f", 1, 2); }), "f");
  EXPECT_EQ(param_of([&] { fields.boolean("i"); }), "i");
  EXPECT_EQ(param_of([&] { fields.strings("i"); }), "i");
  EXPECT_EQ(param_of([&] { fields.child("s"); }), "s");
  EXPECT_EQ(param_of([&] { fields.child("o")->integer("x"); }), "o.x");
}

}  // namespace
}  // namespace moraine::server
