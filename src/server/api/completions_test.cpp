// /v1/completions (OpenAI's) and /completion (llama-server's).
#include <gtest/gtest.h>

#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

TEST(Completions, WholeAnswer) {
  ReadyHarness h;
  const Json json = h.post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 3}});
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(dump(json["choices"]), R"([{"text":"Hel","index":0,"logprobs":null,"finish_reason":"length"}])");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(json["usage"]["completion_tokens"], 3);
}

TEST(Completions, Streamed) {
  ReadyHarness h;
  const auto events =
      events_of(h.call("POST", "/v1/completions",
                       R"({"prompt":"abc","stream":true,"stream_options":{"include_usage":true}})")
                    ->body);
  std::string text;
  for (const Json& event : events) {
    if (event.is_object() && !event["choices"].empty()) text += event["choices"][0]["text"];
  }
  EXPECT_EQ(text, "Hello");
  EXPECT_EQ(events[events.size() - 2]["usage"]["total_tokens"], 9);
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST(Completions, SeveralPromptsAndChoices) {
  ReadyHarness h;
  h.engine->script = [](const GenerationRequest& r) {
    return FakeScript{.tokens = {r.prompt[0], static_cast<TokenId>('0' + r.choice)}};
  };
  const Json json = h.post("/v1/completions", {{"prompt", {"a", "bb"}}, {"n", 2}, {"echo", true}});
  ASSERT_EQ(json["choices"].size(), 4u);
  EXPECT_EQ(json["choices"][1]["text"], "aa1");
  EXPECT_EQ(json["choices"][3]["text"], "bbb3");
  EXPECT_EQ(json["choices"][3]["index"], 3);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);
}

TEST(Completions, LegacyLogprobs) {
  ReadyHarness h;
  const Json json = h.post("/v1/completions", {{"prompt", "a"}, {"logprobs", 2}, {"max_tokens", 2}});
  EXPECT_EQ(dump(json["choices"][0]["logprobs"]),
            R"({"tokens":["H","e"],"token_logprobs":[-0.25,-0.25],"top_logprobs":[{"H":-0.25,"I":-1.25},)"
            R"({"e":-0.25,"f":-1.25}],"text_offset":[0,1]})");
  const Json zero = h.post("/v1/completions", {{"prompt", "a"}, {"logprobs", 0}, {"max_tokens", 1}});
  EXPECT_EQ(zero["choices"][0]["logprobs"]["token_logprobs"], Json::array({-0.25}));
}

TEST(Completions, WhatIsNotThereIsRefused) {
  ReadyHarness h;
  EXPECT_EQ(h.post("/v1/completions", {{"prompt", "a"}, {"suffix", "b"}}, 400)["error"]["param"], "suffix");
  EXPECT_EQ(
      h.post("/v1/completions", {{"prompt", "a"}, {"echo", true}, {"logprobs", 1}}, 400)["error"]["param"],
      "echo");
  EXPECT_EQ(h.post("/v1/completions", {{"prompt", "a"}, {"best_of", 3}}, 400)["error"]["param"], "best_of");
  EXPECT_EQ(h.post("/v1/completions", {{"prompt", Json(std::vector<std::string>(100, "a"))}, {"n", 2}},
                   400)["error"]["param"],
            "prompt");
}

TEST(Completions, PromptsInAllForms) {
  ReadyHarness h;
  const auto prompts = [&](const char* prompt) {
    const std::size_t before = h.engine->requests().size();
    const Json answer = h.post("/completion", {{"prompt", Json::parse(prompt)}});
    EXPECT_EQ(h.last_status, 200) << prompt << dump(answer);
    std::vector<std::vector<TokenId>> seen;
    const auto requests = h.engine->requests();
    for (std::size_t i = before; i < requests.size(); ++i) seen.push_back(requests[i].prompt);
    return seen;
  };
  using Prompts = std::vector<std::vector<TokenId>>;
  EXPECT_EQ(prompts(R"("ab")"), (Prompts{{97, 98}}));
  EXPECT_EQ(prompts(R"([97,98])"), (Prompts{{97, 98}}));
  EXPECT_EQ(prompts(R"([97,"bc",100])"), (Prompts{{97, 98, 99, 100}}));
  EXPECT_EQ(prompts(R"(["ab","c"])"), (Prompts{{97, 98}, {99}}));
  EXPECT_EQ(prompts(R"([[97],["b",99],"d"])"), (Prompts{{97}, {98, 99}, {100}}));
  EXPECT_EQ(prompts(R"({"prompt_string":"ab"})"), (Prompts{{97, 98}}));
  EXPECT_EQ(prompts(R"("a<|im_end|>")"), (Prompts{{97, kFakeEnd}}));
  EXPECT_EQ(prompts(R"("")"), (Prompts{{kFakeBos}}));
  EXPECT_EQ(prompts(R"([])"), (Prompts{{kFakeBos}}));
  for (const char* bad :
       {"[1.5]", "[-1]", "[260]", "[[97,[98]]]", "[97,null]", "true", "[true]", "{\"x\":1}"}) {
    EXPECT_EQ(h.post("/completion", {{"prompt", Json::parse(bad)}}, 400)["error"]["param"], "prompt") << bad;
  }
}

TEST(LlamaCompletion, WholeAnswer) {
  ReadyHarness h;
  const Json json =
      h.post("/completion",
             {{"prompt", "ab<|im_end|>"}, {"n_probs", 1}, {"return_tokens", true}, {"temperature", 0.5}});
  EXPECT_EQ(json["content"], "Hello");
  EXPECT_EQ(json["stop"], true);
  EXPECT_EQ(json["stop_type"], "eos");
  EXPECT_EQ(json["tokens"].get<std::vector<TokenId>>(), byte_tokens("Hello"));
  EXPECT_EQ(json["tokens_predicted"], 6);
  EXPECT_EQ(json["tokens_evaluated"], 3);
  EXPECT_EQ(json["prompt"], "ab<|im_end|>");
  EXPECT_EQ(json["generation_settings"]["temperature"], 0.5);
  EXPECT_EQ(json["generation_settings"]["sources"]["temperature"], "request");
  EXPECT_EQ(json["completion_probabilities"].size(), 5u);
  EXPECT_EQ(json["completion_probabilities"][0]["top_logprobs"][0]["token"], "H");
  EXPECT_EQ(json["timings"]["predicted_n"], 6);
}

TEST(LlamaCompletion, StreamedWithoutDone) {
  ReadyHarness h;
  const auto events =
      events_of(h.call("POST", "/completions", R"({"prompt":"ab","stream":true,"n_probs":1})")->body);
  EXPECT_EQ(events[1]["content"], "H");
  EXPECT_EQ(events[1]["stop"], false);
  EXPECT_EQ(events[1]["completion_probabilities"][0]["id"], 'H');
  EXPECT_EQ(events.back()["stop"], true);
  EXPECT_EQ(events.back()["content"], "");
  EXPECT_TRUE(events.back().contains("timings"));
}

TEST(LlamaCompletion, ManyPromptsMakeAList) {
  ReadyHarness h;
  const Json json = h.post("/completion", {{"prompt", {"a", "b"}}});
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[1]["prompt"], "b");
  EXPECT_EQ(json[1]["index"], 1);
}

TEST(LlamaCompletion, ARequestMayLimitWhatIsGuessed) {
  ReadyHarness h;
  h.post("/completion", {{"prompt", "hi"}});
  h.post("/completion", {{"prompt", "hi"}, {"speculative.n_max", 0}});
  EXPECT_EQ(h.engine->requests()[0].max_draft, -1);
  EXPECT_EQ(h.engine->requests()[1].max_draft, 0);
  EXPECT_EQ(h.post("/completion", {{"prompt", "hi"}, {"speculative.n_max", "x"}}, 400)["error"]["param"],
            "speculative.n_max");
}

TEST(LlamaCompletion, OnlyThePrompt) {
  ReadyHarness h;
  const Json json = h.post("/completion", {{"prompt", "a"}, {"n_predict", 0}});
  EXPECT_EQ(json["content"], "");
  EXPECT_EQ(json["stop_type"], "limit");
}

}  // namespace
}  // namespace moraine::server
