#include "agents/toml.h"

#include <gtest/gtest.h>
#include <moraine/error.h>

namespace moraine::agents::toml {
namespace {

constexpr const char* kFile =
    "# mine\n"
    "model = \"gpt\" # best\n"
    "notify = [\n  \"a # no comment\", # one\n  \"[b]\",\n]\n"
    "text = '''\n[not.a.header]\nx = 1\n'''\n"
    "\n"
    "[model_providers.\"my box\"]\n"
    "base_url = 'http://box/v1'\n"
    "\n"
    "# about tools\n"
    "[tools] # all\n"
    "a.b = 1\n";

TEST(Toml, ReadsHeadersAndKeys) {
  const auto tables = parse(kFile);
  ASSERT_EQ(tables.size(), 3u);
  EXPECT_EQ(tables[0].entries.size(), 3u);
  EXPECT_EQ(unquote(find(tables, {"model_providers", "my box"})->find("base_url")->value), "http://box/v1");
  EXPECT_EQ(tables[0].find("model")->value, "\"gpt\"");
  EXPECT_EQ(unquote("\"a\\\"b\\\\\""), "a\"b\\");
}

TEST(Toml, ReplacesAndAddsKeys) {
  std::string text = set(kFile, {}, "model", "\"other\"");
  EXPECT_NE(text.find("model = \"other\" # best\n"), std::string::npos);
  text = set(text, {}, "n", "5");
  EXPECT_NE(text.find("'''\nn = 5\n\n[model_providers"), std::string::npos) << text;
  text = set(text, {"model_providers", "my box"}, "x", "1");
  EXPECT_NE(text.find("/v1'\nx = 1\n\n# about tools"), std::string::npos) << text;
  text = set(text, {"model_providers", "new"}, "y", "2");
  EXPECT_TRUE(text.ends_with("a.b = 1\n\n[model_providers.new]\ny = 2\n")) << text;
  EXPECT_EQ(set("", {}, "a", "1"), "a = 1\n");
  EXPECT_EQ(set("[t]\nb = 2", {}, "a", "1"), "a = 1\n\n[t]\nb = 2");
  EXPECT_EQ(set("[t]\nb = 2", {"t"}, "a", "1"), "[t]\nb = 2\na = 1\n");
  EXPECT_EQ(set("a = 1\r\n", {"t"}, "b", "2"), "a = 1\r\n\r\n[t]\r\nb = 2\r\n");
}

TEST(Toml, RemovingUndoesSetting) {
  const Name name = {"model_providers", "new"};
  EXPECT_EQ(without(set(kFile, name, "y", "2"), name), kFile);
  EXPECT_EQ(without(set(kFile, {}, "y", "2"), {}, "y"), kFile);
  EXPECT_EQ(without(kFile, {"no", "such"}), kFile);
}

TEST(Toml, LeavesWhatItCannotEdit) {
  for (const char* text :
       {"p = { a = 1 }\n", "p.a.b = 1\n", "[p]\na = { b = 1 }\n", "[[p.a]]\n", "[[p]]\n", "[p]\na.b = 1\n"})
    EXPECT_THROW(set(text, {"p", "a"}, "c", "2"), Error) << text;
  EXPECT_EQ(set("[p]\nz = 1\n", {"p", "a"}, "c", "2"), "[p]\nz = 1\n\n[p.a]\nc = 2\n");
}

TEST(Toml, NamesTheLineOfWhatItCannotRead) {
  for (const char* bad :
       {"a", "a = ", "[a", "[[a]", "a = \"x", "a = [1", "a = '''x", "a = 1]", "[a] b", "= 1", "a = \"\\"})
    EXPECT_THROW(parse(bad), Error) << bad;
  try {
    parse("a = 1\nb\n");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "Line 2: an = is expected here.");
  }
}

}  // namespace
}  // namespace moraine::agents::toml
