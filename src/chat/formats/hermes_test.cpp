// JSON calls between tags: json_call.h within tagged_calls.h; with them arguments_reader.h and
// relaxed_json.h.
#include "chat/formats/testing.h"

namespace moraine::chat {
namespace {

class Hermes : public FormatTest {
 protected:
  Hermes() { format.calls = CallFormat::kHermes; }
  static std::string tagged(const std::string& json) { return "<tool_call>\n" + json + "\n</tool_call>"; }
  std::string arguments_of(const std::string& arguments, const std::string& name = "write") {
    const ParsedMessage message =
        parse({tagged("{\"name\": \"" + name + "\", \"arguments\": " + arguments + "}")}, TextEnd::kComplete);
    return message.tool_calls.size() == 1 ? message.tool_calls[0].arguments
                                          : "not one call: " + shown(message);
  }
};

const std::string kRead = R"({"name": "read", "arguments": {"path": "/a.py", "offset": 3}})";
const std::string kReadCall = R"(read {"path":"/a.py","offset":3})";

TEST_F(Hermes, CallsAndTextAroundThem) {
  check({
      {tagged(kRead), "", {kReadCall}},
      {"Look:\n" + tagged(kRead) + "\n" + tagged(kRead), "Look:", {kReadCall, kReadCall}},
      {tagged(kRead + "\n" + kRead), "", {kReadCall, kReadCall}},
      {tagged(R"({"name": "ping", "arguments": {}})"), "", {"ping {}"}},
      {tagged(R"({"name": "ping"})"), "", {"ping {}"}},
      {tagged(R"({"name": "ping", "arguments": null})"), "", {"ping {}"}},
      {tagged(R"({"name": "unknown", "arguments": {"a": 1}})"), "", {R"(unknown {"a":1})"}},
      {tagged(R"({"arguments": {"path": "/a.py", "offset": 3}, "name": "read"})"), "", {kReadCall}},
      {tagged(R"({"name": "read", "parameters": {"path": "/a.py", "offset": 3}})"), "", {kReadCall}},
      {tagged(
           R"({"id": "x", "type": "function", "function": {"name": "read", "arguments": {"path": "/a.py", "offset": 3}}})"),
       "",
       {kReadCall}},
      {tagged(R"({"name": "read", "arguments": {"path": "/a.py", "offset": 3}, "id": "a }"})"),
       "",
       {kReadCall}},
      {tagged(R"({"name": "read", "arguments": "{\"path\": \"/a.py\", \"offset\": 3}"})"), "", {kReadCall}},
      {tagged("{" + kRead + "}"), "", {kReadCall}},
      {tagged(R"({{"arguments": {"path": "/a.py", "offset": 3}, "name": "read"}})"), "", {kReadCall}},
      {"<tool_call>\n" + kRead, "", {kReadCall}},
      {"<tool_call>\n" + kRead + "\n<tool_call>\n" + kRead, "", {kReadCall, kReadCall}},
      {"<tool_call>\n" + kRead.substr(0, kRead.size() - 1) + "\n</tool_call>", "", {kReadCall}},
      {"<tool_call>\n" + kRead.substr(0, kRead.size() - 2) + "\n</tool_call>", "", {kReadCall}},
      {"<tool_call>\n" + kRead.substr(0, kRead.size() - 2), "", {kReadCall}},
      {tagged("<function=ping>\n</function>"), "", {"ping {}"}},
  });
}

TEST_F(Hermes, WhatIsNotACallIsText) {
  for (const char* inner :
       {"{}", "{\"a\": 1}", "[1]", "{\"name\": 5}", "{\"name\": \"a b\", \"arguments\": {}}",
        "{\"name\": \"read\", \"arguments\": \"no object\"}", "{\"name\": \"read\", \"arguments\": [1]}",
        "{broken", "null", "", "{\"name\": \"re"})
    check_row({tagged(inner), tagged(inner)});
  check_row({"<function=ping>\n</function>", "<function=ping>\n</function>"});
  check_row({kRead, kRead});
}

TEST_F(Hermes, StringsAsModelsWriteThem) {
  const struct {
    const char *json, *expected;
  } rows[] = {
      {R"({"content": "a\n\"b\" \\ \u00e9 \ud83d\ude00"})",
       R"({"content":"a\n\"b\" \\ \u00e9 \ud83d\ude00"})"},
      {"{\"content\": \"raw\nline\tend\"}", R"({"content":"raw\nline\tend"})"},
      {R"({"content": "lone \ud83d end"})", R"({"content":"lone \ufffd end"})"},
      {R"({"content": "lone \ude00"})", R"({"content":"lone \ufffd"})"},
      {R"({"content": "\d+ \. \u12"})", R"({"content":"\\d+ \\. \\u12"})"},
      {R"({"content": "say "hi" now"})", R"({"content":"say \"hi\" now"})"},
      {R"({"content": "</tool_call> <tool_call>"})", R"({"content":"</tool_call> <tool_call>"})"},
      {R"({'content': 'it\'s "so"', })", R"({"content":"it's \"so\""})"},
      {R"({"content": ""})", R"({"content":""})"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(arguments_of(row.json), row.expected) << row.json;
    check_row({tagged("{\"name\": \"write\", \"arguments\": " + std::string(row.json) + "}"),
               "",
               {"write " + std::string(row.expected)}});
  }
}

TEST_F(Hermes, ValuesOfTheTypeTheToolTakes) {
  const struct {
    const char *json, *expected;
  } rows[] = {
      {R"({"ratio": "0.5", "force": "True", "edits": "[1, 2]"})",
       R"({"ratio":0.5,"force":true,"edits":[1,2]})"},
      {R"({"content": {"a": 1}, "path": 5})", R"({"content":"{\"a\":1}","path":"5"})"},
      {R"({"force": True, "note": None, "any": [False, NaN]})",
       R"({"force":true,"note":null,"any":[false,null]})"},
      {R"({"mode": "5", "any": "5"})", R"({"mode":"5","any":"5"})"},
      {R"({"options": "{\"a\": \"b\"}"})", R"({"options":{"a":"b"}})"},
      {R"({"options": "none", "edits": "x"})", R"({"options":"none","edits":"x"})"},
      {R"({"any": [1, 2, ], "edits": [{"a": 1,}, ], })", R"({"any":[1,2],"edits":[{"a":1}]})"},
      {R"({"any": 1 "path": "x"})", R"({"any":1,"path":"x"})"},
      {R"({"any": {"a": {}, "b": [], "c": [[]]}})", R"({"any":{"a":{},"b":[],"c":[[]]}})"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(arguments_of(row.json), row.expected) << row.json;
    check_row({tagged("{\"name\": \"write\", \"arguments\": " + std::string(row.json) + "}"),
               "",
               {"write " + std::string(row.expected)}});
  }
  EXPECT_EQ(arguments_of(R"({"offset": "3", "limit": 2.0})", "read"), R"({"offset":3,"limit":2})");
}

TEST_F(Hermes, BrokenAndDeepArgumentsAreStillAnObject) {
  const std::string deep = std::string(70, '[') + std::string(70, ']');
  for (const std::string& value : {deep, std::string("@"), std::string("1 2"), std::string("{1: 2}")}) {
    const ParsedMessage message =
        parse({tagged("{\"name\": \"write\", \"arguments\": {\"any\": " + value + "}}")}, TextEnd::kComplete);
    ASSERT_EQ(message.tool_calls.size(), 1u) << value;
    EXPECT_TRUE(nlohmann::json::parse(message.tool_calls[0].arguments, nullptr, false).is_object())
        << message.tool_calls[0].arguments;
  }
}

TEST_F(Hermes, ACutCallStaysOpen) {
  const std::string text = tagged(R"({"name": "write", "arguments": {"content": "half", "ratio": 12}})");
  for (size_t cut = 0; cut < text.size(); ++cut) {
    const auto parser = make_output_parser(format, tools, options);
    const std::string part = text.substr(0, cut);
    const ParsedMessage message = parse_message(*parser, part, TextEnd::kCut);
    const bool whole = part.find("12}") != part.npos;
    EXPECT_EQ(message.tool_calls.size(), whole ? 1u : 0u) << part;
    if (!whole) EXPECT_EQ(message.content, part);
  }
}

}  // namespace
}  // namespace moraine::chat
