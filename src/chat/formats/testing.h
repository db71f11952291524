// For the tests of formats: a row says what a text is, and is checked whole, cut at every place, character by
// character and at random.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "chat/output_format.h"

namespace moraine::chat {

struct FormatRow {
  std::string text;
  std::string content;
  std::vector<std::string> calls = {};  // "name {\"a\":1}"
  std::string reasoning = {};
  TextEnd end = TextEnd::kComplete;
};

// What a message comes to, in one text that a failure can show.
inline std::string shown(const ParsedMessage& message) {
  std::string text = "content: " + message.content + "\nreasoning: " + message.reasoning;
  for (const ToolCall& call : message.tool_calls) text += "\ncall: " + call.name + " " + call.arguments;
  return text;
}

inline std::vector<std::string> characters(const std::string& text) {
  std::vector<std::string> pieces;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) pieces.emplace_back();
    pieces.back() += c;
  }
  return pieces;
}

class FormatTest : public testing::Test {
 protected:
  OutputFormat format;
  ParserOptions options{.calls = true};
  std::shared_ptr<const ToolTypes> tools = std::make_shared<const ToolTypes>(ToolTypes::from_json(R"([
      {"type":"function","function":{"name":"read","parameters":{"type":"object","properties":{
        "path":{"type":"string"},"offset":{"type":"integer"},"limit":{"anyOf":[{"type":"integer"},{"type":"null"}]}}}}},
      {"type":"function","function":{"name":"write","parameters":{"type":"object","properties":{
        "path":{"type":"string"},"content":{"type":"string"},"note":{"type":["string","null"]},
        "mode":{"type":["string","integer"]},"force":{"type":"boolean"},"ratio":{"type":"number"},
        "edits":{"type":"array"},"options":{"type":"object"},"any":{}}}}},
      {"type":"function","function":{"name":"ping"}}])"));

  ParsedMessage parse(const std::vector<std::string>& pieces, TextEnd end,
                      std::string* unfinished = nullptr) {
    const auto parser = make_output_parser(format, tools, options);
    ParsedMessage message;
    size_t n_begun = 0;
    for (size_t i = 0; i <= pieces.size(); ++i) {
      const MessageDelta delta = i < pieces.size() ? parser->push(pieces[i]) : parser->finish(end);
      for (const ToolCallDelta& call : delta.tool_calls) {
        if (!call.name.empty()) {
          EXPECT_EQ(call.index, n_begun++) << "indices ascend";
          EXPECT_TRUE(!call.id.empty() && call.arguments.empty()) << "id and name come first, alone";
        }
        EXPECT_EQ(call.index + 1, n_begun) << "one call after the other";
      }
      append(message, delta);
    }
    if (unfinished != nullptr) *unfinished = parser->unfinished_call();
    return message;
  }

  void check_row(const FormatRow& row) {
    SCOPED_TRACE(row.text.substr(0, 500));
    std::string unfinished;
    const ParsedMessage whole = parse({row.text}, row.end, &unfinished);
    ParsedMessage expected{row.content, row.reasoning, {}};
    for (const std::string& call : row.calls) {
      const size_t space = call.find(' ');
      expected.tool_calls.push_back(
          {"", call.substr(0, space), space == call.npos ? "" : call.substr(space + 1)});
    }
    ASSERT_EQ(shown(whole), shown(expected));
    for (size_t i = 0; i < whole.tool_calls.size(); ++i) {
      const bool open = !unfinished.empty() && i + 1 == whole.tool_calls.size();
      if (!open) {
        const auto json = nlohmann::json::parse(whole.tool_calls[i].arguments, nullptr, false);
        EXPECT_TRUE(json.is_object()) << whole.tool_calls[i].arguments;
      }
    }
    const std::vector<std::string> all = characters(row.text);
    ASSERT_EQ(shown(parse(all, row.end)), shown(whole)) << "character by character";
    if (row.text.size() > 5000) return;
    std::string before;
    for (const std::string& c : all) {
      ASSERT_EQ(shown(parse({before, row.text.substr(before.size())}, row.end)), shown(whole))
          << "cut at " << before.size();
      before += c;
    }
    std::mt19937 random(7);
    for (int round = 0; round < 50; ++round) {
      std::vector<std::string> pieces(1);
      for (const std::string& c : all) {
        if (random() % 5 == 0) pieces.emplace_back();
        pieces.back() += c;
      }
      ASSERT_EQ(shown(parse(pieces, row.end)), shown(whole)) << "random cuts, round " << round;
    }
  }
  void check(const std::vector<FormatRow>& rows) {
    for (const FormatRow& row : rows) check_row(row);
  }
};

}  // namespace moraine::chat
