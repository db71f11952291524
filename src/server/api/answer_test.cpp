// The life of an answer: order of events, stop strings over tokens, cancelling, errors in mid-stream.
#include "server/api/answer.h"

#include <gtest/gtest.h>

#include <thread>

#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

const std::string kPath = "/completion";

std::string content_of(const std::vector<Json>& events) {
  std::string text;
  for (const Json& event : events) text += event.value("content", "");
  return text;
}

TEST(Answer, AFirstEventGoesOutBeforeAnyWork) {
  ReadyHarness h;
  const auto exchange = h.begin("POST", kPath, R"({"prompt":"hi","stream":true})");
  EXPECT_TRUE(exchange->streamed);
  EXPECT_EQ(exchange->head.status, 200);
  EXPECT_EQ(events_of(exchange->body).size(), 1u);
  EXPECT_FALSE(exchange->ended);
  h.engine->run();
  EXPECT_EQ(content_of(events_of(exchange->body)), "Hello");
  EXPECT_TRUE(exchange->ended);
  EXPECT_EQ(exchange->n_answers, 1);
}

// An engine may send events, all of them even, before generate() has returned.
TEST(Answer, EventsThatComeTooEarlyWaitForTheHead) {
  ReadyHarness h;
  h.engine->immediate = true;
  for (const bool stream : {false, true}) {
    const auto exchange =
        h.begin("POST", kPath, stream ? R"({"prompt":"hi","stream":true,"n":2})" : R"({"prompt":"hi"})");
    EXPECT_EQ(exchange->n_answers, 1);
    EXPECT_TRUE(exchange->ended);
    if (stream) {
      const auto events = events_of(exchange->body);
      EXPECT_EQ(events.front()["content"], "");
      EXPECT_EQ(content_of(events), "HelloHello");
    } else {
      EXPECT_EQ(Json::parse(exchange->body)["content"], "Hello");
    }
  }
}

TEST(Answer, AnEarlyErrorIsAnHttpStatusEvenForAStream) {
  ReadyHarness h;
  h.engine->immediate = true;
  h.engine->script = [](const GenerationRequest&) {
    return FakeScript{.error = Error(ErrorCode::kDeviceLost, "The device is gone.")};
  };
  const auto exchange = h.begin("POST", kPath, R"({"prompt":"hi","stream":true})");
  EXPECT_EQ(exchange->head.status, 500);
  EXPECT_EQ(exchange->n_answers, 1);
  EXPECT_EQ(Json::parse(exchange->body)["error"]["message"], "The device is gone.");
}

TEST(Answer, AnErrorInMidStreamIsAnEventAndTheEnd) {
  ReadyHarness h;
  h.engine->script = [](const GenerationRequest&) {
    return FakeScript{.tokens = byte_tokens("ab"),
                      .error = Error(ErrorCode::kDeviceLost, "The device is gone.")};
  };
  const auto exchange = h.call("POST", kPath, R"({"prompt":"hi","stream":true,"n":2})");
  const auto events = events_of(exchange->body);
  EXPECT_EQ(events.back()["error"]["message"], "The device is gone.");
  EXPECT_EQ(events.back()["error"]["type"], "server_error");
  EXPECT_TRUE(exchange->ended);
  EXPECT_EQ(h.engine->n_running(), 0);
}

TEST(Answer, AClosedSocketCancelsAllChoices) {
  ReadyHarness h;
  h.engine->script = [](const GenerationRequest&) {
    return FakeScript{.tokens = byte_tokens("x"), .ends = false};
  };
  for (const char* body : {R"({"prompt":"hi","stream":true,"n":3})", R"({"prompt":"hi","n":3})"}) {
    const int before = h.engine->n_cancelled();
    const auto exchange = h.begin("POST", kPath, body);
    h.engine->step();
    h.engine->step();
    EXPECT_EQ(h.engine->n_running(), 3);
    exchange->leave();
    const std::string sent = exchange->body;
    h.engine->run();  // would not end if they went on to the end of the context
    EXPECT_EQ(h.engine->n_cancelled() - before, 3);
    EXPECT_EQ(exchange->body, sent);
  }
}

TEST(Answer, AClientTooSlowToReadCancelsToo) {
  ReadyHarness h;
  h.engine->script = [](const GenerationRequest&) {
    return FakeScript{.tokens = byte_tokens("x"), .ends = false};
  };
  const auto exchange = h.begin("POST", kPath, R"({"prompt":"hi","stream":true})");
  exchange->left = true;  // write() fails; nobody calls on_close
  h.engine->run();
  EXPECT_EQ(h.engine->n_cancelled(), 1);
}

TEST(Answer, NothingIsLeftOfAnAnswerThatIsOver) {
  ReadyHarness h;
  std::weak_ptr<FakeExchange> exchange = h.call("POST", kPath, R"({"prompt":"hi","stream":true})");
  EXPECT_TRUE(exchange.expired());
  exchange = h.call("POST", kPath, R"({"prompt":"hi","stop":"l"})");
  EXPECT_TRUE(exchange.expired());
}

// A server that shuts down lets go of its engine while generations run: the engine must not be kept
// alive by its own sinks, whose last one goes on the engine's own thread.
TEST(Answer, AnswersDoNotOwnTheEngine) {
  std::weak_ptr<FakeEngine> engine;
  std::shared_ptr<FakeExchange> exchange;
  {
    ReadyHarness h;
    engine = h.engine;
    exchange = h.begin("POST", kPath, R"({"prompt":"hi","stream":true,"n":2})");
    h.engine->step();
  }
  EXPECT_TRUE(engine.expired());
}

TEST(Answer, AStopStringOverTokensIsNeverPartlyShown) {
  ReadyHarness h;
  h.answers("one <end> two");
  const auto exchange = h.call("POST", kPath, R"({"prompt":"hi","stream":true,"stop":["<end>","<other>"]})");
  const auto events = events_of(exchange->body);
  EXPECT_EQ(content_of(events), "one ");
  EXPECT_EQ(exchange->body.find("<e\""), std::string::npos);
  EXPECT_EQ(events.back()["stop_type"], "word");
  EXPECT_EQ(events.back()["stopping_word"], "<end>");
  EXPECT_EQ(events.back()["tokens_predicted"], 9);  // up to the '>'
  EXPECT_EQ(h.engine->n_cancelled(), 1);
}

TEST(Answer, WhatOnlyLookedLikeAStopIsShownAtTheEnd) {
  ReadyHarness h;
  h.answers("one <en");
  EXPECT_EQ(h.post(kPath, {{"prompt", "hi"}, {"stop", "<end>"}})["content"], "one <en");
}

TEST(Answer, CharactersSplitOverTokensComeWhole) {
  ReadyHarness h;
  h.answers("a\u00e9\U0001F600b");
  const auto exchange = h.call("POST", kPath, R"({"prompt":"hi","stream":true})");
  std::vector<std::string> texts;
  for (const Json& event : events_of(exchange->body)) {
    if (event["content"] != "") texts.push_back(event["content"]);
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "\u00e9", "\U0001F600", "b"}));
}

TEST(Answer, ACharacterCutByTheEndBecomesAReplacement) {
  ReadyHarness h;
  h.answers("a\xf0\x9f");
  EXPECT_EQ(h.post(kPath, {{"prompt", "hi"}})["content"], "a\uFFFD");
}

// The tokens beside the text are those whose text is shown, the cut one included.
TEST(Answer, TokensFollowTheTextThatIsShown) {
  ReadyHarness h;
  h.answers("ab\U0001F600STOPc");
  const Json json = h.post(kPath, {{"prompt", "hi"}, {"stop", "STOP"}, {"return_tokens", true}});
  EXPECT_EQ(json["content"], "ab\U0001F600");
  EXPECT_EQ(json["tokens"].get<std::vector<TokenId>>(), byte_tokens("ab\U0001F600"));
}

TEST(Answer, TokensOfAPieceComeWithItsText) {
  ReadyHarness h;
  h.answers("\U0001F600b");
  const auto exchange = h.call("POST", kPath, R"({"prompt":"hi","stream":true,"return_tokens":true})");
  const auto events = events_of(exchange->body);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[1]["tokens"].size(), 4u);
  EXPECT_EQ(events[2]["tokens"].size(), 1u);
}

TEST(Answer, TheLimitIsTheRoomLeft) {
  ReadyHarness h;
  h.engine->script = [](const GenerationRequest&) {
    return FakeScript{.tokens = byte_tokens("x"), .ends = false};
  };
  h.engine->model_info.n_ctx = 20;
  const Json json = h.post(kPath, {{"prompt", std::string(15, 'p')}, {"n_predict", 1000}});
  EXPECT_EQ(json["content"], "xxxxx");
  EXPECT_EQ(json["stop_type"], "limit");
  EXPECT_EQ(h.engine->requests().back().max_tokens, 5);
}

TEST(Answer, AnOverflowIsRefusedBeforeAnyWork) {
  ReadyHarness h;
  h.engine->model_info.n_ctx = 20;
  for (const bool stream : {false, true}) {
    const Json json = h.post(kPath, {{"prompt", std::string(21, 'p')}, {"stream", stream}}, 400);
    EXPECT_EQ(
        json["error"]["message"],
        "This model's maximum context length is 20 tokens. However, your messages resulted in 21 tokens; the "
        "request exceeds the available context size.");
    EXPECT_EQ(json["error"]["code"], "context_length_exceeded");
    EXPECT_EQ(json["error"]["type"], "invalid_request_error");
  }
  EXPECT_EQ(h.post(kPath, {{"prompt", std::string(20, 'p')}}, 400)["error"]["code"],
            "context_length_exceeded");
  // Many choices of a long prompt: refused before each gets its copy (128 of them would be 16 GB).
  h.engine->model_info.n_ctx = 1000;
  const auto exchange = h.begin("POST", kPath, dump({{"prompt", std::string(32 << 20, 'p')}, {"n", 128}}));
  while (!exchange->ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(Json::parse(exchange->body)["error"]["code"], "context_length_exceeded");
  EXPECT_TRUE(h.engine->requests().empty());
}

TEST(Answer, AFullQueueAsksToTryAgain) {
  ReadyHarness h;
  h.engine->n_waiting = 1023;
  h.post(kPath, {{"prompt", "hi"}});
  h.engine->n_waiting = 1024;
  for (const char* stream : {"true", "false"}) {
    const auto exchange = h.call("POST", kPath, std::string(R"({"prompt":"hi","stream":)") + stream + "}");
    EXPECT_EQ(exchange->head.status, 503);
    EXPECT_NE(exchange->header("Retry-After"), "");
    EXPECT_EQ(Json::parse(exchange->body)["error"]["code"], "queue_full");
  }
  EXPECT_EQ(h.engine->requests().size(), 1u);
}

TEST(Answer, WhatTheEngineRefusesIsAStatus) {
  ReadyHarness h;
  h.engine->refuse = Error(ErrorCode::kUnavailable, "The queue is full.");
  const auto exchange = h.call("POST", kPath, R"({"prompt":"hi","stream":true})");
  EXPECT_EQ(exchange->head.status, 503);
  EXPECT_NE(exchange->header("Retry-After"), "");
  h.engine->refuse = Error(ErrorCode::kContextOverflow, "Whatever the engine says.");
  EXPECT_NE(h.call("POST", kPath, R"({"prompt":"hi"})")->body.find("maximum context length"),
            std::string::npos);
}

}  // namespace
}  // namespace moraine::server
