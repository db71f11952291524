// Calls of models that know no format of their own: bare_json.h.
#include "chat/formats/testing.h"

namespace moraine::chat {
namespace {

class GenericJson : public FormatTest {
 protected:
  GenericJson() { format.calls = CallFormat::kGenericJson; }
};

const std::string kRead = R"({"name": "read", "arguments": {"path": "/a"}})";
const std::string kReadCall = R"(read {"path":"/a"})";

TEST_F(GenericJson, Calls) {
  check({
      {kRead, "", {kReadCall}},
      {"[" + kRead + ", " + kRead + "]", "", {kReadCall, kReadCall}},
      {"{\"tool_calls\": [" + kRead + "]}", "", {kReadCall}},
      {"{ \"tool_calls\" : [ " + kRead + " , " + kRead + " ] }\n", "", {kReadCall, kReadCall}},
      {R"({"type": "function", "function": {"name": "read", "parameters": {"path": "/a"}}})",
       "",
       {kReadCall}},
      {"```json\n" + kRead + "\n```", "", {kReadCall}},
      {"Let me look:\n\n```json\n" + kRead + "\n```\n", "Let me look:", {kReadCall}},
      {"```tool_code\n" + kRead + "\n```\nAnd:\n```\n[" + kRead + "]\n```", "And:", {kReadCall, kReadCall}},
      {"```tool_call\n{\"tool_calls\": [" + kRead + "]}\n```", "", {kReadCall}},
      {R"({"arguments": {"path": "/a"}, "name": "read"})", "", {kReadCall}},
  });
}

TEST_F(GenericJson, WhatIsNotACallIsText) {
  const std::vector<std::string> texts = {
      "Text and " + kRead,
      R"({"name": "unknown", "arguments": {}})",
      R"({"name": "read"} and more)",
      "```json\n{\"name\": \"Zoe\", \"age\": 5}\n```",
      "```python\n" + kRead + "\n```",
      "Inline ```json\n" + kRead + "\n```",
      "[1, 2, 3]",
      "[]",
      "[",
      "{\"tool_calls\": []}",
      "{\"tool_calls\": [1]}",
      "```json\n[\n",
      "```",
      "`` ` ```js",
      "{\"a\": [{}]}\n```json\n{}\n```\n\n",
  };
  for (const std::string& text : texts) {
    if (text.starts_with("{\"name\": \"read\"}")) continue;  // a call without arguments, and text
    check_row({text, text});
  }
  check_row({R"({"name": "read"} and more)", "and more", {"read {}"}});
}

}  // namespace
}  // namespace moraine::chat
