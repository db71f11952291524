// Llama 3's calls: bare_json.h.
#include "chat/formats/testing.h"

namespace moraine::chat {
namespace {

class Llama3 : public FormatTest {
 protected:
  Llama3() { format.calls = CallFormat::kLlama3; }
};

const std::string kRead = R"({"name": "read", "parameters": {"path": "/a", "offset": "5"}})";
const std::string kReadCall = R"(read {"path":"/a","offset":5})";

TEST_F(Llama3, Calls) {
  check({
      {kRead, "", {kReadCall}},
      {"\n\n" + kRead + "\n", "", {kReadCall}},
      {"<|python_tag|>" + kRead, "", {kReadCall}},
      {kRead + "; " + kRead, "", {kReadCall, kReadCall}},
      {kRead + "\n" + kRead, "", {kReadCall, kReadCall}},
      {R"({"type": "function", "name": "ping", "parameters": {}})", "", {"ping {}"}},
      {R"({"name": "ping", "arguments": {}})", "", {"ping {}"}},
      {R"({"name": "ping", "parameters": {}} That was it.)", "That was it.", {"ping {}"}},
      {R"(<|python_tag|>{"name": "unknown", "parameters": {}})", "", {"unknown {}"}},
      {R"(<|python_tag|>read.call(path="/a b", offset=5))", "", {R"(read {"path":"/a b","offset":5})"}},
      {R"(<|python_tag|>brave_search.call(query="x, y = 'z'"))",
       "",
       {R"(brave_search {"query":"x, y = 'z'"})"}},
  });
}

TEST_F(Llama3, WhatIsNotACallIsText) {
  check({
      {"Hello " + kRead, "Hello " + kRead},
      {R"({"name": "unknown", "parameters": {}})", R"({"name": "unknown", "parameters": {}})"},
      {R"({"a": {"name": "read"}})", R"({"a": {"name": "read"}})"},
      {"{ return 1; }", "{ return 1; }"},
      {"[1, 2]", "[1, 2]"},
      {"<|python_tag|>print(1)", "<|python_tag|>print(1)"},
      {"```json\n" + kRead + "\n```", "```json\n" + kRead + "\n```"},
      {"{", "{"},
      {"<|pyth", "<|pyth"},
      {"", ""},
  });
}

TEST_F(Llama3, AnswersThatAreJsonAreNotHeldLong) {
  const auto parser = make_output_parser(format, tools, options);
  const std::string begin = R"({"users": [)";
  std::string content = parser->push(begin).content;
  for (int i = 0; i < 1000; ++i) content += parser->push(R"({"name": "somebody"},)").content;
  EXPECT_GT(content.size(), 15000u);
}

}  // namespace
}  // namespace moraine::chat
