// Both of Mistral's ways: mistral.h.
#include "chat/formats/testing.h"

namespace moraine::chat {
namespace {

class Mistral : public FormatTest {
 protected:
  Mistral() {
    format.calls = CallFormat::kMistral;
    format.short_call_ids = true;
  }
};

const std::string kReadCall = R"(read {"path":"/a","offset":3})";
const std::string kArguments = R"({"path": "/a", "offset": 3})";
const std::string kRead = R"({"name": "read", "arguments": {"path": "/a", "offset": 3}})";

TEST_F(Mistral, ListsOfCalls) {
  check({
      {"[TOOL_CALLS][" + kRead + "]", "", {kReadCall}},
      {"[TOOL_CALLS] [" + kRead + ", " + kRead + "]", "", {kReadCall, kReadCall}},
      {"[TOOL_CALLS][" + kRead + "]\nDone.", "Done.", {kReadCall}},
      {"So:\n[TOOL_CALLS][" + kRead, "So:", {kReadCall}},
      {"[TOOL_CALLS]" + kRead, "", {kReadCall}},
      {R"([TOOL_CALLS][{"name": "ping", "arguments": {}, "id": "abcdEF123"}])", "", {"ping {}"}},
      {R"([TOOL_CALLS][{"arguments": {"path": "/a", "offset": 3}, "name": "read"}])", "", {kReadCall}},
  });
}

TEST_F(Mistral, NamesAndArguments) {
  check({
      {"[TOOL_CALLS]read[ARGS]" + kArguments, "", {kReadCall}},
      {"[TOOL_CALLS]read" + kArguments, "", {kReadCall}},
      {"[TOOL_CALLS]read[CALL_ID]abcdEF123[ARGS]" + kArguments, "", {kReadCall}},
      {"[TOOL_CALLS]read[ARGS]" + kArguments + "[TOOL_CALLS]ping[ARGS]{}", "", {kReadCall, "ping {}"}},
      {"Text first. [TOOL_CALLS]ping[ARGS]{}", "Text first.", {"ping {}"}},
      {"[TOOL_CALLS]unknown[ARGS]{\"a\": \"[ARGS] [TOOL_CALLS]\"}",
       "",
       {R"(unknown {"a":"[ARGS] [TOOL_CALLS]"})"}},
      {"[TOOL_CALLS]read[ARGS]" + kArguments.substr(0, kArguments.size() - 1), "", {kReadCall}},
  });
}

TEST_F(Mistral, WhatIsNotACallIsText) {
  for (const std::string text :
       {"[TOOL_CALLS]", "[TOOL_CALLS] is a marker, so is [ARGS]", "[TOOL_CALLS][1]", "[TOOL_CALLS][", "[TOOL",
        "[TOOL_CALLS]read and {more}", "[TOOL_CALLS]a b[ARGS]{}", "[ARGS]{}", "[TOOL_CALLS]read[ARGS]"})
    check_row({text, text});
}

TEST_F(Mistral, IdsHaveNineLettersAndDigits) {
  const auto ids = [&](const std::string& text) {
    std::string all;
    for (const ToolCall& call : parse({text}, TextEnd::kComplete).tool_calls) all += call.id + " ";
    return all;
  };
  EXPECT_EQ(ids("[TOOL_CALLS]ping[CALL_ID]abcdEF123[ARGS]{}"), "abcdEF123 ");
  EXPECT_EQ(ids(R"([TOOL_CALLS][{"name": "ping", "arguments": {}, "id": "abcdEF123"}])").size(), 10u);
  EXPECT_EQ(ids("[TOOL_CALLS]ping[CALL_ID]call_1[ARGS]{}").size(), 10u);
  EXPECT_EQ(ids("[TOOL_CALLS]ping[ARGS]{}[TOOL_CALLS]ping[ARGS]{}").size(), 20u);
}

TEST_F(Mistral, ReasoningApart) {
  format.reasoning_begin = "[THINK]";
  format.reasoning_end = "[/THINK]";
  check({
      {"[THINK]Hm.[/THINK]Yes.", "Yes.", {}, "Hm."},
      {"[THINK]Hm.[/THINK][TOOL_CALLS]ping[ARGS]{}", "", {"ping {}"}, "Hm."},
  });
}

TEST_F(Mistral, ACutCallStaysOpen) {
  const std::string text = R"([TOOL_CALLS]write[ARGS]{"content": "half", "ratio": 12})";
  for (size_t cut = 0; cut < text.size(); ++cut) {
    const auto parser = make_output_parser(format, tools, options);
    const ParsedMessage message = parse_message(*parser, text.substr(0, cut), TextEnd::kCut);
    EXPECT_EQ(message.tool_calls.size(), 0u);
    EXPECT_EQ(message.content, text.substr(0, cut));
  }
}

}  // namespace
}  // namespace moraine::chat
