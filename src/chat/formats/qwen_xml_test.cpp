// Qwen3-Coder's XML calls: xml_call.h within tagged_calls.h.
#include "chat/formats/testing.h"

namespace moraine::chat {
namespace {

class QwenXml : public FormatTest {
 protected:
  QwenXml() { format.calls = CallFormat::kQwenXml; }

  // A call of `write` with one parameter, its value as it stands in the text.
  static std::string with_value(const std::string& key, const std::string& value) {
    return "<tool_call>\n<function=write>\n<parameter=" + key + ">\n" + value +
           "\n</parameter>\n</function>\n</tool_call>";
  }
  std::string value_of(const std::string& key, const std::string& value) {
    const ParsedMessage message = parse({with_value(key, value)}, TextEnd::kComplete);
    if (message.tool_calls.size() != 1 || !message.content.empty()) return "not one call: " + shown(message);
    const std::string begin = "{\"" + key + "\":";
    const std::string& arguments = message.tool_calls[0].arguments;
    return arguments.starts_with(begin) ? arguments.substr(begin.size(), arguments.size() - begin.size() - 1)
                                        : arguments;
  }
};

const std::string kRead =
    "<tool_call>\n<function=read>\n<parameter=path>\n/a.py\n</parameter>\n<parameter=offset>\n3\n</"
    "parameter>\n"
    "</function>\n</tool_call>";
const std::string kReadCall = R"(read {"path":"/a.py","offset":3})";

TEST_F(QwenXml, CallsAndTextAroundThem) {
  check({
      {"Just text.\n", "Just text.\n"},
      {"", ""},
      {kRead, "", {kReadCall}},
      {"I'll look.\n\n" + kRead, "I'll look.", {kReadCall}},
      {kRead + "\n" + kRead, "", {kReadCall, kReadCall}},
      {"Both:\n" + kRead + "\nand\n" + kRead + "\nDone \u2013 \U0001F600.",
       "Both:\nand\nDone \u2013 \U0001F600.",
       {kReadCall, kReadCall}},
      {"<tool_call>\n<function=ping>\n</function>\n</tool_call>", "", {"ping {}"}},
      {"<tool_call><function=ping></function></tool_call>", "", {"ping {}"}},
      {"<tool_call>\n<function=unknown_tool>\n</function>\n</tool_call>", "", {"unknown_tool {}"}},
      {"<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"/b\"}}\n</tool_call>",
       "",
       {R"(read {"path":"/b"})"}},
  });
}

TEST_F(QwenXml, WhatIsNotACallIsText) {
  check({
      {"The tag `<tool_call>` opens a call.", "The tag `<tool_call>` opens a call."},
      {"a < b and <function=read> in a line", "a < b and <function=read> in a line"},
      {"\n<function=unknown>\n</function>", "\n<function=unknown>\n</function>"},
      {"<tool_call>", "<tool_call>"},
      {"<tool_call>\n<function=", "<tool_call>\n<function="},
      {"<tool_call>\n<function=a b>\n", "<tool_call>\n<function=a b>\n"},
      {"<tool_call>\n<function=>\n", "<tool_call>\n<function=>\n"},
      {"<tool_call>\n<function=" + std::string(10000, 'a') + ">",
       "<tool_call>\n<function=" + std::string(10000, 'a') + ">"},
      {"<tool_call> now <tool_ca", "<tool_call> now <tool_ca"},
  });
}

TEST_F(QwenXml, TagsThatAreMissing) {
  const std::string inner = "<function=read>\n<parameter=path>\n/a\n</parameter>\n";
  const std::string call = R"(read {"path":"/a"})";
  check({
      {inner + "</function>\n</tool_call>", "", {call}},
      {"Now:\n" + inner + "</function>", "Now:", {call}},
      {"<tool_call>\n" + inner + "</tool_call>", "", {call}},
      {"<tool_call>\n" + inner + "</function>", "", {call}},
      {"<tool_call>\n" + inner, "", {call}},
      {"<tool_call>\n" + inner + "</function>\n" + inner + "</function>\n</tool_call>", "", {call, call}},
      {"<tool_call>\n" + inner + "<tool_call>\n" + inner + "</function>\n</tool_call>", "", {call, call}},
      {"<tool_call>\n<function=read>\n<parameter=path>\n/a\n</function>\n</tool_call>", "", {call}},
      {"<tool_call>\n<function=read>\n<parameter=path>\n/a\n<parameter=offset>\n1\n</parameter>\n</"
       "function>\n</tool_call>",
       "",
       {R"(read {"path":"/a","offset":1})"}},
      {"<tool_call>\n" + inner + "</parameter>\n</function>\n</tool_call>", "", {call}},
  });
}

TEST_F(QwenXml, ValuesThatQuoteTags) {
  const std::vector<std::string> values = {
      "a </parameter> b",
      "x\n</parameter>\ny",
      "<function=read>\n</function>\nend",
      "\n<parameter=unknown>\n1",
      "<tool_call>\n{}\n</tool_call> stays",
      "a\n</function>\nb",
      "&lt; & <b> \"q\" 'x' \\n {{ }}",
      "line\r\nline\r\n",
      "\ttab\n\n\nlines  ",
      "</param",
      "  ",
      "\n",
      "\n\n",
      "",
  };
  for (const std::string& value : values) {
    EXPECT_EQ(value_of("content", value), nlohmann::json(value).dump()) << value;
    check_row(
        {with_value("content", value), "", {"write {\"content\":" + nlohmann::json(value).dump() + "}"}});
  }
}

TEST_F(QwenXml, ValuesOfTheTypeTheToolTakes) {
  const struct {
    const char *key, *value, *json;
  } rows[] = {
      {"content", "5", "\"5\""},
      {"content", "true", "\"true\""},
      {"content", "{\"a\": 1}", "\"{\\\"a\\\": 1}\""},
      {"note", "null", "null"},
      {"note", "None", "null"},
      {"note", "nullify this", "\"nullify this\""},
      {"note", "no", "\"no\""},
      {"mode", "5", "5"},
      {"mode", "five", "\"five\""},
      {"mode", "007", "\"007\""},
      {"force", "true", "true"},
      {"force", "False", "false"},
      {"force", "\"true\"", "true"},
      {"force", "maybe", "\"maybe\""},
      {"ratio", "0.1", "0.1"},
      {"ratio", "1e-07", "1e-07"},
      {"ratio", "3", "3"},
      {"edits", "[{\"a\": [1, 2,]}]", "[{\"a\":[1,2]}]"},
      {"edits", "[{'a': True, 'b': None}]", "[{\"a\":true,\"b\":null}]"},
      {"edits", "not a list", "\"not a list\""},
      {"edits", "\"[1]\"", "[1]"},
      {"options", "{\"a\": {\"b\": \"c\\u00e9\"}}", "{\"a\":{\"b\":\"c\\u00e9\"}}"},
      {"options", "{\"a\":", "\"{\\\"a\\\":\""},
      {"any", "5", "5"},
      {"any", "9007199254740993", "9007199254740993"},
      {"any", "\"x\"", "\"\\\"x\\\"\""},
      {"any", "some words", "\"some words\""},
      {"any", "[1, 2", "\"[1, 2\""},
      {"other", "2.0", "2.0"},
  };
  for (const auto& row : rows)
    EXPECT_EQ(value_of(row.key, row.value), row.json) << row.key << " = " << row.value;
  check({
      {"<tool_call><function=read><parameter=offset>5.0</parameter><parameter=limit>None</parameter></"
       "function></tool_call>",
       "",
       {R"(read {"offset":5,"limit":null})"}},
      {"<tool_call><function=read><parameter=offset>five</parameter><parameter=offset>6</parameter></"
       "function></tool_call>",
       "",
       {R"(read {"offset":"five"})"}},
  });
}

TEST_F(QwenXml, TextStreamsBeforeItsEnd) {
  const auto parser = make_output_parser(format, tools, options);
  parser->push("<tool_call>\n<function=write>\n<parameter=content>\n");
  const MessageDelta delta = parser->push("def f():\n    retu");
  ASSERT_EQ(delta.tool_calls.size(), 1u);
  EXPECT_EQ(delta.tool_calls[0].arguments, "\"def f():\\n    retu");
}

TEST_F(QwenXml, ACutCallStaysOpen) {
  const std::string text = "Go.\n" + with_value("content", "half a file");
  for (size_t cut = 4; cut < text.size(); ++cut) {
    const std::string part = text.substr(0, cut);
    const auto parser = make_output_parser(format, tools, options);
    const ParsedMessage message = parse_message(*parser, part, TextEnd::kCut);
    // Whole only once its </function> was there.
    const bool whole = part.find("</function>") != part.npos;
    EXPECT_EQ(message.tool_calls.size(), whole ? 1u : 0u) << part;
    if (!whole) EXPECT_EQ(message.content.find("Go."), 0u);
    check_row(
        {part, parse({part}, TextEnd::kCut).content,
         message.tool_calls.empty() && parser->unfinished_call().empty()
             ? std::vector<std::string>{}
             : std::vector<std::string>{"write " + parse({part}, TextEnd::kCut).tool_calls[0].arguments},
         "", TextEnd::kCut});
  }
}

TEST_F(QwenXml, ManyCallsAndLargeValues) {
  std::string text, large;
  std::vector<std::string> calls;
  for (int i = 0; i < 50; ++i) {
    text += (i > 0 ? "\n" : "") + kRead;
    calls.push_back(kReadCall);
  }
  check_row({text, "", calls});
  for (int i = 0; i < 20000; ++i) large += "line " + std::to_string(i) + " </parameter> <tag>\n";
  const ParsedMessage message = parse(characters(with_value("content", large)), TextEnd::kComplete);
  ASSERT_EQ(message.tool_calls.size(), 1u);
  EXPECT_EQ(nlohmann::json::parse(message.tool_calls[0].arguments)["content"], large);
}

TEST_F(QwenXml, OneCallWhereOneIsAllowed) {
  options.single_call = true;
  check_row({kRead + "\n" + kRead + "\nmore", "more", {kReadCall}});
}

TEST_F(QwenXml, WithoutToolsCallsAreText) {
  options.calls = false;
  check_row({kRead, kRead});
}

TEST_F(QwenXml, IdsAreOfTheirKindAndDifferent) {
  const ParsedMessage message = parse({kRead + kRead}, TextEnd::kComplete);
  ASSERT_EQ(message.tool_calls.size(), 2u);
  EXPECT_EQ(message.tool_calls[0].id.size(), 29u);
  EXPECT_EQ(message.tool_calls[0].id.find("call_"), 0u);
  EXPECT_NE(message.tool_calls[0].id, message.tool_calls[1].id);
}

TEST_F(QwenXml, ReasoningApart) {
  format.reasoning_begin = "<think>";
  format.reasoning_end = "</think>";
  options.reasoning = ReasoningStart::kUnknown;
  check({
      {"<think>\nHm.\n</think>\n\nYes.", "Yes.", {}, "Hm."},
      {"<think>\n\n</think>\n\nYes.", "Yes.", {}, ""},
      {"</think>\n\nYes.", "Yes.", {}, ""},
      {"No thought, just <think> as a word.", "No thought, just <think> as a word.", {}, ""},
      {"<thi", "<thi"},
      {"<think>\nFirst.\n\nThen <tool_call> or not.\n</think>\n" + kRead,
       "",
       {kReadCall},
       "First.\n\nThen <tool_call> or not."},
      {"<think>\nUnfinished", "", {}, "Unfinished", TextEnd::kCut},
      {"<think>\nI forgot to end.\n" + kRead, "", {kReadCall}, "I forgot to end."},
  });
  options.reasoning = ReasoningStart::kOpen;
  check({
      {"Hm.\n</think>\n\nYes.", "Yes.", {}, "Hm."},
      {kRead, "", {kReadCall}},
      {"\n" + kRead, "", {kReadCall}},
      {"Hm <tool_call>\n<function=read> </think>", "", {}, "Hm <tool_call>\n<function=read>"},
      {"\n\nHm \n  hm</thin </think>" + kRead, "", {kReadCall}, "Hm \n  hm</thin"},
  });
  options.reasoning = ReasoningStart::kClosed;
  check_row({"<think> is content here", "<think> is content here"});
  options.apart_reasoning = false;
  options.reasoning = ReasoningStart::kUnknown;
  check_row({"<think>\nHm.\n</think>\n\nYes.", "<think>\nHm.\n</think>\n\nYes."});
}

}  // namespace
}  // namespace moraine::chat
