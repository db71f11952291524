#include "chat/messages.h"

#include <gtest/gtest.h>
#include <moraine/error.h>

namespace moraine::chat {
namespace {

// Of templates that take any conversation: what is done to single messages shows.
constexpr TemplateCaps any_conversation(bool object_arguments, bool text_parts, bool null_content) {
  return {.system_role = true,
          .tools = true,
          .tool_calls = true,
          .tool_results = true,
          .object_arguments = object_arguments,
          .text_parts = text_parts,
          .null_content = null_content,
          .late_system = true,
          .repeated_roles = true,
          .several_calls = true,
          .assistant_first = true,
          .no_user = true,
          .user_after_tool = true};
}
constexpr TemplateCaps kStringsOnly = any_conversation(true, false, false);
constexpr TemplateCaps kAll = any_conversation(true, true, true);
constexpr TemplateCaps kTextArguments = any_conversation(false, false, false);

std::string call(const std::string& arguments) {
  return R"([{"role":"assistant","content":"","tool_calls":[{"id":"1","function":{"name":"f","arguments":)" +
         arguments + "}}]}]";
}

TEST(MendMessages, KeepsOrderNumbersAndUnknownFields) {
  const std::string messages = R"([{"z":1.50,"role":"user","a":[1,2e3],"content":"x"}])";
  EXPECT_EQ(mend_messages(messages, kAll), R"([{"z":1.5,"role":"user","a":[1,2000.0],"content":"x"}])");
}

TEST(MendMessages, ArgumentsBecomeObjects) {
  EXPECT_EQ(mend_messages(call(R"("{\"b\": 1, \"a\": [null]}")"), kAll), call(R"({"b":1,"a":[null]})"));
  for (const char* text :
       {R"("not json")", R"("[1]")", R"("")", R"("{\"a\":")", R"("3")", "null", R"({"a":1})"})
    EXPECT_EQ(mend_messages(call(text), kAll), call(text));
}

TEST(MendMessages, ArgumentsBecomeTextWhereTheTemplateWantsText) {
  // Spaced as Python does, whoever wrote it.
  const std::string text = call(R"("{\"a\": 1, \"b\": [2, {}]}")");
  EXPECT_EQ(mend_messages(call(R"({"a":1,"b":[2,{}]})"), kTextArguments), text);
  EXPECT_EQ(mend_messages(call(R"("{ \"a\":1,\"b\":[2,{ }]}")"), kTextArguments), text);
  EXPECT_EQ(mend_messages(call(R"("no object")"), kTextArguments), call(R"("no object")"));
}

TEST(MendMessages, TextPartsAreOneStringWhereTheTemplateDoesNotTakeParts) {
  const std::string parts =
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_text","text":"b"}]}])";
  EXPECT_EQ(mend_messages(parts, kStringsOnly), R"([{"role":"user","content":"ab"}])");
  EXPECT_EQ(mend_messages(parts, kAll), parts);
  EXPECT_EQ(mend_messages(R"([{"role":"user","content":[]}])", kStringsOnly),
            R"([{"role":"user","content":""}])");
  const std::string image = R"([{"role":"user","content":[{"type":"image_url","image_url":{}}]}])";
  EXPECT_EQ(mend_messages(image, kStringsOnly), image);
}

TEST(MendMessages, NullOrMissingContentBecomesEmptyWhereTheTemplateCannotTakeIt) {
  const std::string empty = R"([{"role":"assistant","tool_calls":[],"content":""}])";
  const std::string null = R"([{"role":"assistant","tool_calls":[],"content":null}])";
  const std::string missing = R"([{"role":"assistant","tool_calls":[]}])";
  EXPECT_EQ(mend_messages(null, kStringsOnly), empty);
  EXPECT_EQ(mend_messages(missing, kStringsOnly), empty);
  EXPECT_EQ(mend_messages(null, kAll), null);
  EXPECT_EQ(mend_messages(missing, kAll), null);
  EXPECT_EQ(mend_messages(empty, kAll), empty);
  EXPECT_EQ(mend_messages(R"([{"role":"user","content":null}])", kAll), R"([{"role":"user","content":""}])");
}

TEST(MendMessages, OddShapesAreKeptOrRefused) {
  for (const char* kept :
       {R"([{"tool_calls":3,"content":""}])", R"([{"tool_calls":[1],"content":""}])", "[]"})
    EXPECT_EQ(mend_messages(kept, kAll), kept);
  for (const char* refused : {"", "{}", "[[]]", "[1]", "[{]", "nul"})
    EXPECT_THROW(mend_messages(refused, kAll), Error) << refused;
  EXPECT_THROW(mend_messages(std::string(1000000, '['), kAll), Error);
  const std::string deep_text = call("\"" + std::string(1000000, '[') + "\"");
  EXPECT_EQ(mend_messages(deep_text, kAll), deep_text);
}

}  // namespace
}  // namespace moraine::chat
