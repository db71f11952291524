// What requests and options say of the prefix cache, and what answers tell of it.
#include <gtest/gtest.h>

#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

const std::string kChat = "/v1/chat/completions", kHi = R"({"messages":[{"role":"user","content":"hi"}]})";

TEST(CacheFields, ARequestMayAskForAnewComputation) {
  for (const bool standard : {true, false}) {
    ReadyHarness h(ApiOptions{.cache_prompt = standard});
    h.post("/completion", {{"prompt", "hi"}});
    h.post("/completion", {{"prompt", "hi"}, {"cache_prompt", false}});
    h.post("/completion", {{"prompt", "hi"}, {"cache_prompt", true}});
    const auto seen = h.engine->requests();
    EXPECT_EQ(seen[0].reuse, standard);
    EXPECT_FALSE(seen[1].reuse);
    EXPECT_TRUE(seen[2].reuse);
    EXPECT_EQ(h.post("/completion", {{"prompt", "hi"}, {"cache_prompt", 1}}, 400)["error"]["param"],
              "cache_prompt");
  }
}

TEST(CacheFields, AKeysPromptsAreItsOwn) {
  const auto scopes = [](ApiOptions options) {
    options.api_keys = {"alpha", "beta"};
    ReadyHarness h(std::move(options));
    h.call("POST", kChat, kHi, {{"Authorization", "Bearer alpha"}});
    h.call("POST", kChat, kHi, {{"x-api-key", "beta"}});
    h.call("POST", kChat, kHi, {{"x-api-key", "alpha"}});
    std::vector<uint64_t> seen;
    for (const auto& r : h.engine->requests()) seen.push_back(r.cache_scope);
    return seen;
  };
  const auto by_key = scopes({});
  ASSERT_EQ(by_key.size(), 3u);
  EXPECT_NE(by_key[0], by_key[1]);
  EXPECT_EQ(by_key[0], by_key[2]);
  EXPECT_NE(by_key[0], 0u);
  EXPECT_EQ(scopes({.cache_scope = CacheScope::kAll}), std::vector<uint64_t>(3, 0));
  ReadyHarness open;
  open.call("POST", kChat, kHi, {{"x-api-key", "anything"}});
  EXPECT_EQ(open.engine->requests()[0].cache_scope, 0u);
}

TEST(CacheFields, AnswersSayWhatWasCached) {
  ReadyHarness h;
  h.engine->n_cached = 7;
  const Json chat = h.post(kChat, Json::parse(kHi));
  EXPECT_EQ(chat["usage"]["prompt_tokens_details"]["cached_tokens"], 7);
  EXPECT_EQ(chat["timings"]["cache_n"], 7);
  EXPECT_EQ(chat["timings"]["prompt_n"], chat["usage"]["prompt_tokens"].get<int>() - 7);
  EXPECT_EQ(h.post("/completion", {{"prompt", "hi, it is me"}})["timings"]["cache_n"], 7);
  const auto stream =
      h.call("POST", "/completion", R"({"prompt":"hi, it is me","stream":true,"return_progress":true})");
  const Json progress = events_of(stream->body)[1]["prompt_progress"];
  EXPECT_EQ(progress["cache"], 7);
  EXPECT_EQ(progress["processed"], 12);
  EXPECT_EQ(progress["total"], 12);
}

TEST(CacheFields, MonitorsSeeTheCache) {
  ReadyHarness h;
  const Json cache = Json::parse(h.call("GET", "/props")->body)["cache"];
  EXPECT_EQ(cache["prompt"], true);
  EXPECT_EQ(cache["scope"], "key");
  EXPECT_TRUE(cache["bytes"].is_number_unsigned());
  const std::string metrics = h.call("GET", "/metrics")->body;
  for (const char* name : {"moraine:prompt_tokens_cached_total", "moraine:cache_bytes_used",
                           "moraine:cache_bytes_max", "moraine:generations_suspended_total"})
    EXPECT_NE(metrics.find(std::string("\n") + name + " 0\n"), std::string::npos) << name;
}

}  // namespace
}  // namespace moraine::server
