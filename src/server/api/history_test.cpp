// Answers that come back as history: over each protocol, as its clients write them, the next prompt begins
// with the tokens of the last one and those it was answered with.
#include "server/api/history.h"

#include <gtest/gtest.h>

#include "server/api/testing/agent_harness.h"
#include "tokenizer/testing.h"

namespace moraine::server {
namespace {

// Like Qwen3's: calls in Hermes' format, and reasoning only of turns behind the last user.
constexpr const char* kTemplate =
    "{% set ns = namespace(user=0) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.user = loop.index0 %}{% endif %}{% endfor %}"
    "{% if tools %}<|im_start|>system\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% "
    "endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content and loop.index0 > ns.user %}<think>\n{{ m.reasoning_content | trim "
    "}}\n</think>\n\n"
    "{% endif %}{{ m.content | trim }}"
    "{% for c in m.tool_calls or [] %}\n<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": "
    "{{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

std::vector<TokenId> joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

bool begins_with(const std::vector<TokenId>& all, const std::vector<TokenId>& beginning) {
  return all.size() >= beginning.size() && std::equal(beginning.begin(), beginning.end(), all.begin());
}

// `text` with each "the" as the one token that no encoder makes of it.
std::vector<TokenId> drawn(std::string_view text) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool the = text.substr(i, 3) == "the";
    tokens.push_back(the ? kFakeThe : static_cast<unsigned char>(text[i]));
    if (the) i += 2;
  }
  return tokens;
}

// What a model may write: spaces and numbers as no client echoes them.
constexpr const char* kAnswer =
    "<think>\n\nHm, the file.\n</think>\n\n\nLet me look at the other.\n\n"
    "<tool_call>{\"name\": \"read\",  \"arguments\": {\"path\":\"the \\u00e9.c\", \"n\": "
    "2.0}}\n</tool_call>\n";

class History : public ::testing::Test {
 protected:
  explicit History(ApiOptions options = {}) : h(with_template(std::move(options))) {}

  void answers(std::string_view text) {
    h.engine->script = [tokens = drawn(text)](const GenerationRequest&) {
      return FakeScript{.tokens = tokens};
    };
  }
  std::vector<TokenId> prompt() const { return h.engine->requests().back().prompt; }
  std::string prompt_text() const {
    return h.engine->tokenizer()->decode(prompt(), {.show_control = true, .text_start = false});
  }

  static Json user(const char* text) { return {{"role", "user"}, {"content", text}}; }
  static Json chat_tools() {
    return Json::parse(R"([{"type":"function","function":{"name":"read","parameters":{"type":"object",
        "properties":{"path":{"type":"string"},"n":{"type":"integer"}}}}}])");
  }
  // A chat's answer as OpenCode sends it back: compact arguments, reasoning beside the content.
  static Json echo_of(const Json& answer) {
    Json message = answer["choices"][0]["message"];
    message.erase("refusal");
    for (Json& call : message["tool_calls"]) {
      Json& arguments = call["function"]["arguments"];
      Json value = Json::parse(arguments.get<std::string>());
      if (value.contains("n")) value["n"] = 2;  // JavaScript has no 2.0
      arguments = value.dump();
    }
    return message;
  }
  Json result_of(const Json& message) {
    return {{"role", "tool"}, {"tool_call_id", message["tool_calls"][0]["id"]}, {"content", "int main;"}};
  }
  Json chat(Json messages) {
    return h.post("/v1/chat/completions", {{"messages", std::move(messages)}, {"tools", chat_tools()}});
  }

  AgentHarness h;

 private:
  static ApiOptions with_template(ApiOptions options) {
    options.chat_template = kTemplate;
    return options;
  }
};

TEST_F(History, AChatOfSeveralTurns) {
  answers(kAnswer);
  Json messages = Json::array({user("look")});
  for (int turn = 0; turn < 4; ++turn) {
    const Json message = echo_of(chat(messages));
    const std::vector<TokenId> so_far = joined(prompt(), drawn(kAnswer));
    ASSERT_EQ(message["tool_calls"].size(), 1u) << dump(message);
    messages.push_back(message);
    messages.push_back(result_of(message));
    chat(messages);
    EXPECT_TRUE(begins_with(prompt(), so_far)) << prompt_text();
    messages.erase(messages.size() - 1);  // and the same again, with the result in parts
    Json result = result_of(message);
    result["content"] = Json::array({Json{{"type", "text"}, {"text", "int main;"}}});
    messages.push_back(result);
    const auto before = prompt();
    chat(messages);
    EXPECT_EQ(prompt(), before);
  }
}

TEST_F(History, AMessagesClientSendsBlocks) {
  answers(kAnswer);
  Json body = Json::parse(R"({"max_tokens":2000,"messages":[{"role":"user","content":"look"}],"tools":[
      {"name":"read","input_schema":{"type":"object","properties":{"path":{"type":"string"},"n":{"type":"integer"}}}}]})");
  const Json answer = h.post("/v1/messages", body);
  const std::vector<TokenId> so_far = joined(prompt(), drawn(kAnswer));
  Json content = answer["content"];
  ASSERT_EQ(content.size(), 3u) << dump(answer);
  content[2]["input"]["n"] = 2;
  const Json call_id = content[2]["id"];
  body["messages"].push_back({{"role", "assistant"}, {"content", content}});
  body["messages"].push_back({{"role", "user"},
                              {"content", Json::array({Json{{"type", "tool_result"},
                                                            {"tool_use_id", call_id},
                                                            {"content", "int main;"},
                                                            {"cache_control", {{"type", "ephemeral"}}}}})}});
  h.post("/v1/messages", body);
  EXPECT_TRUE(begins_with(prompt(), so_far)) << prompt_text();
  EXPECT_EQ(h.post("/v1/messages/count_tokens", body)["input_tokens"], prompt().size());
}

TEST_F(History, AResponsesClientSendsItems) {
  answers(kAnswer);
  Json body =
      Json::parse(R"({"input":[{"role":"user","content":"look"}],"include":["reasoning.encrypted_content"],
      "tools":[{"type":"function","name":"read","parameters":{"type":"object",
      "properties":{"path":{"type":"string"},"n":{"type":"integer"}}}}]})");
  const Json answer = h.post("/v1/responses", body);
  const std::vector<TokenId> so_far = joined(prompt(), drawn(kAnswer));
  ASSERT_EQ(answer["output"].size(), 3u) << dump(answer);
  const Json result = {
      {"type", "function_call_output"}, {"call_id", answer["output"][2]["call_id"]}, {"output", "int main;"}};
  Json next = body;  // Codex: all items once more, reasoning sealed
  for (Json item : answer["output"]) {
    if (item["type"] == "reasoning") item.erase("content");
    next["input"].push_back(std::move(item));
  }
  next["input"].push_back(result);
  h.post("/v1/responses", next);
  EXPECT_TRUE(begins_with(prompt(), so_far)) << prompt_text();
  const auto all = prompt();
  next = body;  // or only what is new
  next["previous_response_id"] = answer["id"];
  next["input"] = Json::array({result});
  h.post("/v1/responses", next);
  EXPECT_EQ(prompt(), all);
}

TEST_F(History, WhatSaysSomethingElseStaysAsItIsWritten) {
  answers(kAnswer);
  const Json message = echo_of(chat(Json::array({user("look")})));
  const auto so_far = joined(prompt(), drawn(kAnswer));
  const auto next = [&](const Json& echoed) {
    chat(Json::array({user("look"), echoed, result_of(message)}));
    return begins_with(prompt(), so_far);
  };
  EXPECT_TRUE(next(message));
  Json other = message;
  other["content"] = "Let me look at another.";
  EXPECT_FALSE(next(other));
  other = message;
  other["tool_calls"][0]["function"]["arguments"] = R"({"path":"b.c","n":2})";
  EXPECT_FALSE(next(other));
  EXPECT_NE(prompt_text().find("b.c"), std::string::npos);
  other = message;
  other["tool_calls"].push_back(message["tool_calls"][0]);
  EXPECT_FALSE(next(other));
  other = message;
  other["reasoning_content"] = "Something else.";
  EXPECT_FALSE(next(other));
  EXPECT_TRUE(next(message));
}

TEST_F(History, WhatAClientFillsInByTheSchemaSaysNothing) {
  Json tools = chat_tools();
  tools[0]["function"]["parameters"]["properties"]["all"] = {{"type", "boolean"}, {"default", false}};
  answers(kAnswer);
  const auto ask = [&](const Json& messages) {
    return h.post("/v1/chat/completions", {{"messages", messages}, {"tools", tools}});
  };
  Json message = echo_of(ask(Json::array({user("look")})));
  const auto so_far = joined(prompt(), drawn(kAnswer));
  Json& arguments = message["tool_calls"][0]["function"]["arguments"];
  const std::string path = R"({"path":"the \u00e9.c",)";
  for (const char* rest : {R"("n":2})", R"("n":2,"all":false})", R"("all":false,"n":2})"}) {
    arguments = path + rest;
    ask(Json::array({user("look"), message, result_of(message)}));
    EXPECT_TRUE(begins_with(prompt(), so_far)) << rest;
  }
  for (const char* rest : {R"("n":2,"all":true})", R"("n":2,"other":false})", R"("all":false})"}) {
    arguments = path + rest;
    ask(Json::array({user("look"), message, result_of(message)}));
    EXPECT_FALSE(begins_with(prompt(), so_far)) << rest;
  }
}

TEST_F(History, ATemplateThatDropsOldReasoningHasItsWayAndTheLogSaysSo) {
  answers("<think>\nHm.\n</think>\n\nDone, the end.");
  const Json message = chat(Json::array({user("look")}))["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], "Hm.");
  chat(Json::array({user("look"), message, user("and now?")}));
  EXPECT_EQ(prompt_text().find("Hm."), std::string::npos);
  EXPECT_NE(h.infos.back().find("the template leaves the reasoning of earlier turns out"), std::string::npos)
      << h.infos.back();
  Json silent = message;
  silent.erase("reasoning_content");
  chat(Json::array({user("look"), silent, user("and now?")}));
  EXPECT_NE(h.infos.back().find("the client did not send the reasoning"), std::string::npos)
      << h.infos.back();
}

TEST_F(History, AnAnswerToBeContinuedBeginsAsItWasGenerated) {
  answers("Over the hills and the sea");
  chat(Json::array({user("sing")}));
  const auto first = prompt();
  chat(Json::array({user("sing"), Json{{"role", "assistant"}, {"content", "Over the hills and th"}}}));
  EXPECT_EQ(prompt(), joined(joined(first, drawn("Over the hills and ")), drawn("th")));
  chat(Json::array({user("sing"), Json{{"role", "assistant"}, {"content", "Over the mountains"}}}));
  EXPECT_EQ(prompt(), joined(first, byte_tokens("Over the mountains")));
}

TEST_F(History, TheAnswerOfAClientThatLeftIsKnown) {
  answers("Over the hills and the sea");
  const Json body = {{"messages", Json::array({user("sing")})}, {"stream", true}};
  const auto exchange = h.begin("POST", "/v1/chat/completions", dump(body));
  for (int i = 0; i < 8; ++i) h.engine->step();  // the prompt, and "Over the"
  exchange->leave();
  const auto first = prompt();
  h.engine->run();
  chat(Json::array({user("sing"), Json{{"role", "assistant"}, {"content", "Over the"}}}));
  h.post("/v1/chat/completions",
         {{"messages", Json::array({user("sing"), Json{{"role", "assistant"}, {"content", "Over the"}}})}});
  EXPECT_EQ(prompt(), joined(first, drawn("Over the")));
}

TEST_F(History, AllChoicesOfARequestAreKnown) {
  h.engine->script = [](const GenerationRequest& request) {
    return FakeScript{.tokens = drawn(request.choice == 0 ? "the one" : "or the other")};
  };
  const Json answer = h.post("/v1/chat/completions", {{"messages", Json::array({user("x")})}, {"n", 2}});
  const auto first = prompt();
  for (int i = 0; i < 2; ++i) {
    h.post("/v1/chat/completions",
           {{"messages",
             Json::array({user("x"), answer["choices"][static_cast<size_t>(i)]["message"], user("y")})}});
    EXPECT_TRUE(begins_with(prompt(), joined(first, drawn(i == 0 ? "the one" : "or the other"))));
  }
}

struct TwoKeys : History {
  TwoKeys() : History(keys()) {}
  static ApiOptions keys() {
    ApiOptions options;
    options.api_keys = {"a", "b"};
    return options;
  }
};

TEST_F(TwoKeys, FindNothingOfEachOther) {
  answers("the answer");
  const auto ask = [&](const char* key, Json messages) {
    h.call("POST", "/v1/chat/completions", dump(Json{{"messages", std::move(messages)}}),
           {{"Authorization", std::string("Bearer ") + key}});
    return prompt();
  };
  const auto first = ask("a", Json::array({user("x")}));
  const Json next =
      Json::array({user("x"), Json{{"role", "assistant"}, {"content", "the answer"}}, user("y")});
  EXPECT_TRUE(begins_with(ask("a", next), joined(first, drawn("the answer"))));
  EXPECT_TRUE(begins_with(ask("b", next), joined(first, byte_tokens("the answer"))));
}

// A vocabulary that puts a space before each text: where a prompt is put together, none may come in between.
TEST(EncodeHistory, OfASentencePieceVocabulary) {
  const auto t = Tokenizer::create(testing::tiny_spm());
  const TokenId ab = t->find("ab"), hell = t->find("hell"), o = t->find("o");
  const std::string prompt = "<s>hello";
  const auto encoded = [&](std::string_view text, bool special) {
    return t->encode(text, {.add_special = special, .parse_special = true});
  };
  TurnStore store;
  store.put(turn_place(0, prompt), {.tokens = {ab, hell, o}, .text = "abhello"});
  const chat::OutputFormat format;
  const auto tokens = [&](const std::string& text) {
    return encode_history(*t, store, 0, text, {.format = format, .tools = nullptr}).tokens;
  };
  const auto begun = encoded(prompt, true);
  EXPECT_EQ(tokens(prompt + "abhello</s>ab"), joined(joined(begun, {ab, hell, o}), encoded("</s>ab", false)));
  EXPECT_EQ(tokens(prompt + " abhello\n</s>"), joined(joined(begun, {ab, hell, o}), encoded("</s>", false)));
  EXPECT_EQ(tokens(prompt + "abhell"), joined(begun, {ab, hell}));
  for (const char* other : {"", "abhe", "abhello and", "ab</s>", "hello</s>"})
    EXPECT_EQ(tokens(prompt + other), encoded(prompt + other, true)) << other;
}

GeneratedTurn turn(TokenId id) { return {.tokens = {id}, .text = std::string(1000, 'x')}; }

TEST(TurnStore, KeepsWhatWasUsedLast) {
  TurnStore store(/*max_bytes=*/4000, /*max_turns=*/100);  // three of 1260 bytes
  for (TokenId id = 0; id < 3; ++id)
    store.put(turn_place(0, std::string(static_cast<size_t>(id) + 1, 'p')), turn(id));
  EXPECT_EQ(store.find(0, "p").size(), 1u);  // the oldest is used again
  store.put(turn_place(0, "q"), turn(9));
  std::vector<TokenId> left;
  for (const auto& found : store.find(0, "ppp")) left.push_back(found.turn->tokens[0]);
  EXPECT_EQ(left, (std::vector<TokenId>{0, 2}));
  store.put(turn_place(0, "r"), {.tokens = {1}, .text = std::string(5000, 'x')});  // too large
  EXPECT_TRUE(store.find(0, "r").empty());
}

TEST(TurnStore, OfOnePlaceTheNewestComesFirstAndTheirNumberIsBounded) {
  TurnStore store;
  for (TokenId id = 0; id < 200; ++id) store.put(turn_place(1, "p"), turn(id));
  store.put(turn_place(1, "p"), turn(150));  // once more
  const auto found = store.find(1, "prompt");
  ASSERT_EQ(found.size(), 128u);
  EXPECT_EQ(found[0].turn->tokens[0], 150);
  EXPECT_EQ(found[1].turn->tokens[0], 199);
  EXPECT_EQ(found.back().turn->tokens[0], 72);
  EXPECT_TRUE(store.find(2, "prompt").empty());
  EXPECT_TRUE(store.find(1, "quick").empty());
}

}  // namespace
}  // namespace moraine::server
