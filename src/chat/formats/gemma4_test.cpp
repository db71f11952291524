// Gemma 4's calls: gemma4.h.
#include "chat/formats/testing.h"

namespace moraine::chat {
namespace {

class Gemma4 : public FormatTest {
 protected:
  Gemma4() { format.calls = CallFormat::kGemma4; }
  static std::string tagged(const std::string& call) { return "<|tool_call>call:" + call + "<tool_call|>"; }
};

TEST_F(Gemma4, Calls) {
  const std::string read = tagged(R"(read{offset:3,path:<|"|>/a "b" \n<|"|>})");
  const std::string call = R"(read {"offset":3,"path":"/a \"b\" \\n"})";
  check({
      {read, "", {call}},
      {read + read, "", {call, call}},
      {"Look:\n" + read + "\nmore", "Look:\nmore", {call}},
      {tagged("ping{}"), "", {"ping {}"}},
      {tagged("unknown{a:{b:[1,<|\"|>x<|\"|>,true],c:null}}"),
       "",
       {R"(unknown {"a":{"b":[1,"x",true],"c":null}})"}},
      {tagged("write{content:<|\"|>line\n</x> <| {a:1} <|\"|>,force:true,ratio:0.5}"),
       "",
       {R"(write {"content":"line\n</x> <| {a:1} ","force":true,"ratio":0.5})"}},
      {tagged("write{content:\"plain \\\"json\\\"\",path:bare words}"),
       "",
       {R"(write {"content":"plain \"json\"","path":"bare words"})"}},
      {tagged("write{content:5,ratio:<|\"|>0.5<|\"|>}"), "", {R"(write {"content":"5","ratio":0.5})"}},
      {tagged("write{edits:[{a:<|\"|>x<|\"|>},{}],options:{}}"),
       "",
       {R"(write {"edits":[{"a":"x"},{}],"options":{}})"}},
      {"<|tool_call>call:ping{}", "", {"ping {}"}},
      {"<|tool_call>call:read{offset:3", "", {"read {\"offset\":3}"}},
  });
}

TEST_F(Gemma4, WhatIsNotACallIsText) {
  for (const std::string text : {"<|tool_call>", "<|tool_call> opens a call", "<|tool_call>call:",
                                 "<|tool_call>call:{}", "<|tool_c", "<|tool_call>call:a b{}", "call:read{}"})
    check_row({text, text});
}

TEST_F(Gemma4, ReasoningApart) {
  format.reasoning_begin = "<|channel>thought";
  format.reasoning_end = "<channel|>";
  check({
      {"<|channel>thought\nHm.\n<channel|>Yes.", "Yes.", {}, "Hm."},
      {"<|channel>thought\n<channel|>" + tagged("ping{}"), "", {"ping {}"}, ""},
  });
}

TEST_F(Gemma4, ACutCallStaysOpen) {
  const std::string text = "<|tool_call>call:write{content:<|\"|>half<|\"|>,ratio:12}";
  for (size_t cut = 0; cut < text.size(); ++cut) {
    const auto parser = make_output_parser(format, tools, options);
    const ParsedMessage message = parse_message(*parser, text.substr(0, cut), TextEnd::kCut);
    EXPECT_EQ(message.tool_calls.size(), 0u);
    EXPECT_EQ(message.content, text.substr(0, cut));
  }
}

}  // namespace
}  // namespace moraine::chat
