// What the meter is told of requests: counts and names, and never a word of what was said.
#include <gtest/gtest.h>

#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

const std::string kChat = "/v1/chat/completions", kHi = R"({"messages":[{"role":"user","content":"hi"}]})";

struct Meter {
  std::vector<usage::Record> records;
  ApiOptions options() {
    ApiOptions o;
    o.alias = "coder";
    o.on_usage = [this](usage::Record r) { records.push_back(std::move(r)); };
    return o;
  }
};

TEST(Usage, EachAnswerIsCountedOnce) {
  Meter meter;
  ReadyHarness h(meter.options());
  h.engine->n_cached = 7;
  h.call(
      "POST", kChat, kHi,
      {{"User-Agent", "opencode/1.18.33 ai-sdk"}, {"X-Moraine-Epic", "mend"}, {"X-Moraine-Task", "parser"}});
  ASSERT_EQ(meter.records.size(), 1u);
  const usage::Record& r = meter.records[0];
  EXPECT_EQ(r.client, "opencode");
  EXPECT_EQ(r.model, "coder");
  EXPECT_EQ(r.protocol, kChat);
  EXPECT_EQ(r.outcome, "done");
  EXPECT_EQ(r.epic, "mend");
  EXPECT_EQ(r.task, "parser");
  EXPECT_EQ(r.n_cached, 7);
  EXPECT_EQ(r.n_fresh, static_cast<int64_t>(h.engine->requests()[0].prompt.size()) - 7);
  EXPECT_EQ(r.n_generated, 6);  // "Hello" and the end
  EXPECT_GT(r.ended_ms, 1'600'000'000'000);

  h.call("POST", "/v1/messages", R"({"max_tokens":9,"messages":[{"role":"user","content":"hi"}]})",
         {{"X-Moraine-Epic", "tell me, what did they say"}});
  ASSERT_EQ(meter.records.size(), 2u);
  EXPECT_EQ(meter.records[1].protocol, "/v1/messages");
  EXPECT_EQ(meter.records[1].epic, "");  // no place to keep text in
}

TEST(Usage, WhatFailsIsCountedAsThat) {
  Meter meter;
  ReadyHarness h(meter.options());
  h.engine->script = [](const GenerationRequest&) {
    return FakeScript{.tokens = {'a'}, .error = Error(ErrorCode::kDeviceLost, "gone")};
  };
  h.call("POST", kChat, kHi);
  ASSERT_EQ(meter.records.size(), 1u);
  EXPECT_EQ(meter.records[0].outcome, "failed");
  h.call("POST", kChat, "{");  // refused before any work
  EXPECT_EQ(meter.records.size(), 1u);
}

}  // namespace
}  // namespace moraine::server
