// For each format: what its constraint lets through is what its parser reads as a call, what would break a
// call is refused, and all is free where no call is open.
#include "chat/answer_constraint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "tokenizer/testing.h"

namespace moraine::chat {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTools = R"([
  {"type":"function","function":{"name":"read","parameters":{"type":"object","properties":{
    "path":{"type":"string"},"offset":{"type":"integer"}},"required":["path"]}}},
  {"type":"function","function":{"name":"set","parameters":{"type":"object","properties":{
    "mode":{"type":"string","enum":["fast","slow"]},"force":{"type":"boolean"},
    "edits":{"type":"array","items":{"type":"object","properties":{"line":{"type":"integer"},"text":{"type":"string"}},
      "required":["line","text"],"additionalProperties":false}}},"required":["mode","edits"]}}},
  {"type":"function","function":{"name":"ping"}}])";

std::shared_ptr<const Tokenizer> make_tokenizer() {
  VocabData data = moraine::testing::tiny_bpe();
  for (const char* tag :
       {"<think>", "</think>", "<tool_call>", "</tool_call>", "<|tool_call>", "<tool_call|>", "<|\"|>",
        "</parameter>", "<parameter=", "</function>", "<function="})
    moraine::testing::add_token(data, tag, TokenType::kUserDefined);
  for (const char* tag : {"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|python_tag|>"})
    moraine::testing::add_token(data, tag, TokenType::kControl);
  return Tokenizer::create(data);
}

OutputFormat format_of(CallFormat calls, bool reasons = false) {
  OutputFormat format;
  format.calls = calls;
  if (reasons) format.reasoning_begin = "<think>", format.reasoning_end = "</think>";
  return format;
}

class AnswerConstraintTest : public ::testing::TestWithParam<CallFormat> {
 protected:
  void SetUp() override { use(GetParam()); }
  void use(CallFormat calls, bool reasons = false) {
    format = format_of(calls, reasons);
    constraints = std::make_unique<AnswerConstraints>(tokenizer, format, [this](const std::string& line) {
      const std::lock_guard lock(mutex);
      log.push_back(line);
    });
  }

  std::unique_ptr<TokenConstraint> start(const CallDemands& demands, AnswerStart where = {},
                                         const std::string& tools = kTools) {
    bound = constraints->calls(tools, demands, std::move(where));
    return started();
  }
  std::unique_ptr<TokenConstraint> started() {
    if (!bound.source) return nullptr;
    for (int i = 0; i < 2000 && !bound.source->grammar(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return bound.start();
  }

  bool allows(TokenConstraint& constraint, TokenId token) const {
    const auto words = constraint.allowed();
    return words.empty() || (words[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0;
  }
  // Bytes of the text that were let through.
  size_t write(TokenConstraint& constraint, std::string_view text) const {
    size_t n = 0;
    for (const TokenId token : tokenizer->encode(text, {.add_special = false, .parse_special = true})) {
      if (!allows(constraint, token)) break;
      constraint.accept(token);
      n += tokenizer->token_bytes(token).size();
    }
    return n;
  }
  bool may_end(TokenConstraint& constraint) const { return allows(constraint, tokenizer->special().eos); }

  ParsedMessage parse(const std::string& text, ReasoningStart reasoning = ReasoningStart::kClosed) const {
    ParserOptions options{.calls = true, .reasoning = reasoning};
    const auto parser =
        make_output_parser(format, std::make_shared<const ToolTypes>(ToolTypes::from_json(kTools)), options);
    return parse_message(*parser, text, TextEnd::kComplete);
  }

  // A call as the format's template writes it. `values`: as Qwen's XML and Gemma's notation write them raw.
  std::string call(const std::string& name, const Json& arguments) const {
    switch (format.calls) {
      case CallFormat::kQwenXml: {
        std::string text = "<tool_call>\n<function=" + name + ">\n";
        for (const auto& [key, value] : arguments.items())
          text += "<parameter=" + key + ">\n" +
                  (value.is_string() ? value.get<std::string>() : value.dump()) + "\n</parameter>\n";
        return text + "</function>\n</tool_call>";
      }
      case CallFormat::kHermes:
        return fmt::format("<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>", name,
                           arguments.dump());
      case CallFormat::kMistral:
        return fmt::format("[TOOL_CALLS]{}[ARGS]{}", name, arguments.dump());
      case CallFormat::kLlama3:
        return fmt::format("{{\"name\": \"{}\", \"parameters\": {}}}", name, arguments.dump());
      case CallFormat::kGemma4:
        return "<|tool_call>call:" + name + gemma(arguments) + "<tool_call|>";
      default:
        return fmt::format("{{\"name\": \"{}\", \"arguments\": {}}}", name, arguments.dump());
    }
  }
  static std::string gemma(const Json& value) {
    if (value.is_string()) return "<|\"|>" + value.get<std::string>() + "<|\"|>";
    if (!value.is_structured()) return value.dump();
    std::string text;
    for (const auto& [key, inner] : value.items())
      text += (text.empty() ? "" : ",") + (value.is_object() ? key + ":" : "") + gemma(inner);
    return value.is_object() ? "{" + text + "}" : "[" + text + "]";
  }
  bool is_bare() const {
    return format.calls == CallFormat::kLlama3 || format.calls == CallFormat::kGenericJson;
  }

  // Draws at random from what is allowed, rather what closes something, until the end is.
  std::string draw(TokenConstraint& constraint, std::mt19937& random) const {
    std::vector<std::string_view> may_close = {"\"",           "}",      "]", "\n", "</parameter>",
                                               "<tool_call|>", "<|\"|>", ","};
    // In raw text the parser takes these for an end that lacks another.
    if (format.calls != CallFormat::kQwenXml)
      may_close.insert(may_close.end(), {"</function>", "</tool_call>"});
    std::string text;
    for (int i = 0; i < 3000; ++i) {
      const auto words = constraint.allowed();
      if (words.empty()) return text + "<not bound>";
      std::vector<TokenId> allowed, closing;
      for (size_t id = 0; id < tokenizer->size(); ++id) {
        if ((words[id / 32] >> id % 32 & 1) == 0) continue;
        const auto token = static_cast<TokenId>(id);
        if (tokenizer->is_end_of_generation(token)) return text;
        const std::string_view bytes = tokenizer->token_bytes(token);
        allowed.push_back(token);
        if (std::find(may_close.begin(), may_close.end(), bytes) != may_close.end()) closing.push_back(token);
      }
      if (format.calls == CallFormat::kQwenXml && text.ends_with("</parameter>")) closing = allowed = {'\n'};
      if (text.ends_with("</parameter>\n")) closing = {'<'};
      if (format.calls == CallFormat::kQwenXml && allowed.size() > 100)
        std::erase_if(allowed,
                      [&](TokenId t) { return tokenizer->token_bytes(t).find('<') != std::string::npos; });
      if (allowed.empty()) return text + "<nothing allowed>";
      const auto& from = !closing.empty() && random() % 3 != 0 ? closing : allowed;
      const TokenId token = from[random() % from.size()];
      constraint.accept(token);
      text += tokenizer->token_bytes(token);
    }
    return text + "<endless>";
  }

  const std::shared_ptr<const Tokenizer> tokenizer = make_tokenizer();
  std::mutex mutex;
  std::vector<std::string> log;
  OutputFormat format;
  std::unique_ptr<AnswerConstraints> constraints;
  AnswerConstraint bound;
};

const Json kRead = {{"path", "/a \"b\" <c>\n\n  line two: é"}};
const Json kSet = {
    {"mode", "fast"}, {"edits", Json::array({{{"line", 3}, {"text", "x = {1: '2'}"}}})}, {"force", true}};

// In the order of Gemma's template.
Json sorted(const Json& object) { return Json(nlohmann::json(object)); }

TEST_P(AnswerConstraintTest, CallsAsTemplatesWriteThemAreLetThroughAndRead) {
  for (const auto& [name, arguments] :
       std::vector<std::pair<std::string, Json>>{{"read", kRead},
                                                 {"read", {{"path", "x"}, {"offset", 12}}},
                                                 {"set", kSet},
                                                 {"set", {{"mode", "slow"}, {"edits", Json::array()}}},
                                                 {"ping", Json::object()}}) {
    const Json ordered = format.calls == CallFormat::kGemma4 ? sorted(arguments) : arguments;
    Json written = ordered;
    if (name == "set" && format.calls != CallFormat::kQwenXml && format.calls != CallFormat::kGemma4) {
      written = Json::object();  // JSON's grammar wants the schema's order
      for (const char* key : {"mode", "force", "edits"})
        if (ordered.contains(key)) written[key] = ordered[key];
    }
    const std::string text = call(name, written);
    const auto constraint = start({});
    EXPECT_EQ(write(*constraint, text), text.size()) << text;
    EXPECT_TRUE(may_end(*constraint)) << text;
    const ParsedMessage message = parse(text);
    ASSERT_EQ(message.tool_calls.size(), 1u) << text;
    EXPECT_EQ(message.tool_calls[0].name, name);
    EXPECT_EQ(nlohmann::json::parse(message.tool_calls[0].arguments), nlohmann::json(arguments)) << text;
  }
}

TEST_P(AnswerConstraintTest, WhatBreaksACallIsRefused) {
  const std::string good = call("read", {{"path", "x"}});
  const auto refused = [&](std::string text, const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from << " in " << text;
    text.replace(at, from.size(), to);
    const auto constraint = start({});
    EXPECT_LT(write(*constraint, text), text.size()) << text;
  };
  refused(call("set", {{"mode", "fast"}, {"edits", Json::array()}}), "fast", "quick");
  refused(call("read", {{"path", "x"}, {"offset", 12}}), "12", "1x");
  if (!is_bare()) refused(good, "read", "reed");  // without tags another name is an answer in JSON
  if (format.calls != CallFormat::kQwenXml) refused(good, "path", "pat");
  const auto half = start({});
  const std::string begun = good.substr(0, good.find("path") + 4);
  ASSERT_EQ(write(*half, begun), begun.size());
  EXPECT_FALSE(may_end(*half)) << "in the midst of " << begun;
}

TEST_P(AnswerConstraintTest, RequiredParametersComeBeforeTheEnd) {
  const std::string text = call("read", Json::object());
  const auto constraint = start({});
  EXPECT_LT(write(*constraint, text), text.size());
}

TEST_P(AnswerConstraintTest, AllElseIsFree) {
  const auto constraint = start({});
  for (const std::string text :
       {"A < B, {\"name\": \"no such\"} and [TOOL_CALL", "\n```json\n{\"a\": 1}\n```\n</tool_call> é"}) {
    EXPECT_EQ(write(*constraint, text), text.size()) << text;
    EXPECT_TRUE(constraint->allowed().empty());
  }
}

TEST_P(AnswerConstraintTest, BehindACallAllIsFreeUntilTheNext) {
  if (is_bare()) return;  // only at the beginning
  const auto constraint = start({});
  const std::string one = call("ping", Json::object());
  const std::string text = "Look:\n" + one + "\nand\n" + one;
  EXPECT_EQ(write(*constraint, text), text.size());
  const std::string wrong = call("unknown", Json::object());
  EXPECT_LT(write(*constraint, "\n" + wrong), wrong.size());
}

// In Qwen's vocabulary ">\n" is one token: what may follow a call counts, or it could not end as it does.
TEST_P(AnswerConstraintTest, ACallThatForgotItsOpeningTagMayClose) {
  if (format.calls != CallFormat::kQwenXml) return;
  const std::string bare = "<function=ping>\n</function>";
  for (const std::string& text : {bare, bare + "\n</tool_call>", bare + "\n</tool_call>\nDone."}) {
    const auto constraint = start({});
    EXPECT_EQ(write(*constraint, text), text.size()) << text;
    EXPECT_TRUE(may_end(*constraint)) << text;
    EXPECT_EQ(parse(text).tool_calls.size(), 1u) << text;
  }
  const auto constraint = start({});
  EXPECT_EQ(write(*constraint, bare + "\n"), bare.size() + 1);
  EXPECT_LT(write(*constraint, "</parameter>"), 12u);
}

TEST_P(AnswerConstraintTest, RequiredCallsAreCallsWhateverIsDrawn) {
  std::mt19937 random(7);
  for (int round = 0; round < 12; ++round) {
    const auto constraint = start({.required = true, .single = round % 2 == 0});
    const std::string text = draw(*constraint, random);
    const ParsedMessage message = parse(text);
    ASSERT_GE(message.tool_calls.size(), 1u) << text;
    if (round % 2 == 0) {
      EXPECT_EQ(message.tool_calls.size(), 1u) << text;
    }
    EXPECT_EQ(message.content.find_first_not_of(" \n"), std::string::npos) << text;
    for (const ToolCall& call : message.tool_calls) {
      const auto arguments = nlohmann::json::parse(call.arguments, nullptr, false);
      ASSERT_TRUE(arguments.is_object()) << text << "\n" << call.arguments;
      if (call.name == "read") {
        ASSERT_TRUE(arguments.contains("path") && arguments["path"].is_string()) << text << call.arguments;
        EXPECT_TRUE(!arguments.contains("offset") || arguments["offset"].is_number_integer())
            << call.arguments;
      } else if (call.name == "set") {
        EXPECT_TRUE(arguments.value("mode", "") == "fast" || arguments.value("mode", "") == "slow") << text;
        ASSERT_TRUE(arguments.contains("edits") && arguments["edits"].is_array()) << text << call.arguments;
        for (const auto& edit : arguments["edits"])
          EXPECT_TRUE(edit["line"].is_number_integer() && edit["text"].is_string()) << text;
      } else {
        EXPECT_EQ(call.name, "ping");
      }
    }
  }
}

TEST_P(AnswerConstraintTest, OneToolAlone) {
  std::mt19937 random(3);
  const auto constraint = start({.required = true, .only = {"set"}, .single = true});
  const std::string text = draw(*constraint, random);
  const ParsedMessage message = parse(text);
  ASSERT_EQ(message.tool_calls.size(), 1u) << text;
  EXPECT_EQ(message.tool_calls[0].name, "set");
  try {
    start({.required = true, .only = {"set", "nothing"}});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(e.what()).find("nothing"), std::string::npos);
  }
}

TEST_P(AnswerConstraintTest, ASecondCallIsRefusedWhereOneIsWanted) {
  const auto constraint = start({.single = true});
  const std::string one = call("ping", Json::object());
  EXPECT_EQ(write(*constraint, one), one.size());
  EXPECT_EQ(write(*constraint, "\n"), 0u);
  EXPECT_TRUE(may_end(*constraint));
}

TEST_P(AnswerConstraintTest, ReasoningIsFreeAndAChoiceOfForms) {
  use(GetParam(), /*reasons=*/true);
  const std::string one = call("ping", Json::object());
  const std::string thought = "Shall I? {\"a\" <x\n";
  const auto open = start({.required = true}, {.reasoning = ReasoningStart::kOpen});
  EXPECT_EQ(write(*open, thought + "</think>\n\n"), thought.size() + 10);
  EXPECT_FALSE(may_end(*open));
  EXPECT_EQ(write(*open, one), one.size());
  const auto unknown = start({.required = true}, {.reasoning = ReasoningStart::kUnknown});
  EXPECT_EQ(write(*unknown, "I"), 0u);
  EXPECT_EQ(write(*unknown, "<think>" + thought + "</think>\n\n" + one), thought.size() + 17 + one.size());
  EXPECT_TRUE(may_end(*unknown));
  const auto closed = start({.required = true}, {.reasoning = ReasoningStart::kClosed});
  EXPECT_EQ(write(*closed, "<think>"), 0u);
}

TEST_P(AnswerConstraintTest, ACallOrAnAnswerOfAForm) {
  const CallDemands demands = {.answer = R"(start: "[" /[0-9]+/ "]")"};
  const auto answered = start(demands);
  EXPECT_EQ(write(*answered, "[12]"), 4u);
  EXPECT_TRUE(may_end(*answered));
  if (is_bare()) {  // said in the log
    EXPECT_FALSE(log.empty());
    return;
  }
  const auto called = start(demands);
  const std::string one = call("ping", Json::object());
  EXPECT_EQ(write(*called, one), one.size());
  EXPECT_TRUE(may_end(*called));
  const auto neither = start(demands);
  EXPECT_EQ(write(*neither, "Well"), 0u);
  EXPECT_THROW(start({.answer = "start: nothing"}), Error);
}

TEST_P(AnswerConstraintTest, ASchemaThatCannotBeUsedRelaxesItsToolAlone) {
  const std::string tools = R"([
    {"function":{"name":"bad","parameters":{"type":"object","properties":{"p":{"type":"string","pattern":"(("},
      "q":{"$ref":"#/$defs/none"}},"required":["p"]}}},
    {"function":{"name":"good","parameters":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}}}])";
  const auto good = start({}, {}, tools);
  const std::string wrong = call("good", {{"n", "five"}});
  EXPECT_LT(write(*good, wrong), wrong.size());
  const auto bad = start({}, {}, tools);
  const std::string call_of_bad = call("bad", {{"p", "anything"}});
  EXPECT_EQ(write(*bad, call_of_bad), call_of_bad.size());
  if (format.calls == CallFormat::kGemma4 || format.calls == CallFormat::kQwenXml)
    return;  // follow fewer words
  const auto warnings = bound.warnings();
  ASSERT_FALSE(warnings.empty());
  EXPECT_NE(warnings[0].find("'bad'"), std::string::npos) << warnings[0];
  start({}, {}, tools);
  const std::lock_guard lock(mutex);
  EXPECT_EQ(log.size(), 1u) << "said once, however often the tools come";
}

TEST_P(AnswerConstraintTest, SchemasThatAreNone) {
  std::string wide, many;
  for (int i = 0; i < 1000; ++i)
    wide += fmt::format("{}\"p{}\":{{\"type\":\"string\"}}", i > 0 ? "," : "", i);
  for (int i = 0; i < 200; ++i)
    many += fmt::format(R"({}{{"function":{{"name":"t{}","parameters":{{"type":"object","properties":
      {{"a":{{"type":"string"}},"b":{{"enum":["x","y"]}}}}}}}}}})",
                        i > 0 ? "," : "", i);
  const std::string deep = std::string(2000, '[') + std::string(2000, ']');
  std::string nested = "{}";
  for (int i = 0; i < 100; ++i) nested = R"({"type":"object","properties":{"a":)" + nested + "}}";
  for (
      const std::string& parameters :
      {std::string("null"), std::string("[]"), std::string("\"x\""), std::string("true"), std::string("{}"),
       std::string(R"({"type":3})"), std::string(R"({"type":"object","properties":[]})"),
       std::string(R"({"type":"object","properties":{"a":3,"b":null,"c":[]}})"),
       std::string(R"({"type":"object","required":"a"})"), std::string(R"({"type":"array"})"),
       std::string(R"({"$ref":"#"})"), std::string(R"({"type":"object","properties":{"a":{"$ref":"#"}}})"),
       std::string(
           R"({"type":"object","properties":{"a":{"allOf":[{"$ref":"#/$defs/x"}]}},"$defs":{"x":{"$ref":"#/$defs/x"}}})"),
       std::string(
           R"({"type":"object","properties":{"a":{"type":"string","pattern":"^((a{1,1000}){1,1000}){1,1000}$"}}})"),
       std::string(R"({"type":"object","properties":{"a":{"enum":[]},"b":{"type":[]},"c":{"const":{}}}})"),
       std::string(
           R"({"type":"object","properties":{"a b <c>\n":{"type":"string"}},"required":["a b <c>\n"]})"),
       R"({"type":"object","properties":{)" + wide + "}}", deep, nested}) {
    SCOPED_TRACE(parameters.substr(0, 150));
    const std::string tools = R"([{"function":{"name":"t","parameters":)" + parameters +
                              R"(}},{"function":{"name":"read","parameters":{"type":"object","properties":
                                {"offset":{"type":"integer"}},"required":["offset"]}}}])";
    const auto constraint = start({}, {}, tools);
    if (parameters == deep) {
      EXPECT_TRUE(constraint == nullptr || write(*constraint, "text") == 4);
      continue;
    }
    ASSERT_NE(constraint, nullptr);
    ASSERT_TRUE(bound.source->grammar()) << "names at least are bound";
    const std::string wrong = call("read", {{"offset", "x"}});
    EXPECT_LT(write(*constraint, wrong), wrong.size()) << "the other tool is bound";
  }
  const auto constraint = start({.required = true}, {}, "[" + many + "]");
  const std::string last = call("t199", {{"a", "1"}, {"b", "y"}});
  EXPECT_EQ(write(*constraint, last), last.size());
}

TEST_P(AnswerConstraintTest, TheSameToolsAreCompiledOnce) {
  const auto first = constraints->calls(kTools, {}, {});
  EXPECT_EQ(constraints->calls(kTools, {}, {.reasoning = ReasoningStart::kUnknown}).source, first.source);
  EXPECT_NE(constraints->calls(kTools, {.single = true}, {}).source, first.source);
}

INSTANTIATE_TEST_SUITE_P(Formats, AnswerConstraintTest,
                         ::testing::Values(CallFormat::kQwenXml, CallFormat::kHermes, CallFormat::kMistral,
                                           CallFormat::kLlama3, CallFormat::kGemma4,
                                           CallFormat::kGenericJson),
                         [](const auto& info) {
                           std::string name = name_of(info.param);
                           std::erase(name, '-');
                           return name;
                         });

class AnswerForms : public AnswerConstraintTest {};

TEST_P(AnswerForms, TheWholeAnswer) {
  use(GetParam(), /*reasons=*/true);
  bound = constraints->answer("start: /[0-9]+/", {});
  const auto plain = started();
  EXPECT_EQ(write(*plain, "x"), 0u);
  EXPECT_EQ(write(*plain, "12"), 2u);
  bound = constraints->answer("start: /[0-9]+/", {.reasoning = ReasoningStart::kUnknown});
  const auto thinking = started();
  EXPECT_EQ(write(*thinking, "<think>x</think>\n\n12"), 20u);
  EXPECT_TRUE(may_end(*thinking));
  bound = constraints->answer("start: /[0-9]+x/", {.begun = "12"});
  const auto continued = started();
  EXPECT_EQ(write(*continued, "3x"), 2u);
  bound = constraints->answer("start: /[0-9]+x/", {.begun = "<think>Hm.</think>\n\n12"});
  const auto behind = started();
  EXPECT_EQ(write(*behind, "3x"), 2u);
  EXPECT_THROW(constraints->answer("start: nothing", {}), Error);
}

INSTANTIATE_TEST_SUITE_P(OfAnyFormat, AnswerForms, ::testing::Values(CallFormat::kHermes),
                         [](const auto&) { return "any"; });

TEST(AnswerConstraints, NoFormatNoCalls) {
  AnswerConstraints constraints(make_tokenizer(), format_of(CallFormat::kNone), {});
  EXPECT_EQ(constraints.calls(kTools, {}, {}).start(), nullptr);
  EXPECT_THROW(constraints.calls(kTools, {.required = true}, {}), Error);
}

}  // namespace
}  // namespace moraine::chat
