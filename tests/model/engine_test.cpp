// The engine through its public API, on the default model: what a generation returns, how several run
// side by side, how they end.
#include <gtest/gtest.h>
#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <cstdlib>
#include <filesystem>

#include "collector.h"
#include "edited_model.h"
#include "golden.h"
#include "plan/backend.h"

namespace moraine {
namespace {

std::string source_dir() {
  const char* d = std::getenv("MORAINE_SOURCE_DIR");
  return d ? d : ".";
}
std::string smollm() { return source_dir() + "/models/smollm2-135m-instruct-q4_1.gguf"; }
std::string tiny() {
  const char* d = std::getenv("MORAINE_BUILD_DIR");
  return std::string(d ? d : "build") + "/test-models/tiny-llama-q4_k_m.gguf";
}

using testing::Collector;
using testing::counting;
using testing::greedy;
using testing::run;

class EngineTest : public ::testing::Test {
 protected:
  static std::unique_ptr<Engine> load(const std::string& path, int n_ctx = 1024, int n_parallel = 4) {
    EngineOptions o;
    o.model_path = path;
    o.n_ctx = n_ctx;
    o.n_parallel = n_parallel;
    return Engine::load(o);
  }
};

TEST_F(EngineTest, GreedyAnswerFollowsThePublishedModel) {
  const testing::Golden g(source_dir() + "/tests/oracle/golden/smollm2-135m-greedy.golden");
  ASSERT_TRUE(std::filesystem::exists(smollm())) << "make model";
  auto engine = load(smollm());
  GenerationRequest r = greedy({g.tokens.begin(), g.tokens.end()}, static_cast<int>(g.steps.size()));
  r.n_probs = 3;
  auto c = std::make_shared<Collector>();
  engine->generate(r, c);
  ASSERT_TRUE(c->wait());
  ASSERT_EQ(c->tokens.size(), g.steps.size());
  // Until the first near tie, where eight-bit activations may fall to the other side.
  for (size_t i = 0; i < g.steps.size() && g.steps[i].logit - g.steps[i].second_logit > 1.2f; ++i) {
    EXPECT_EQ(c->tokens[i], g.steps[i].token) << "step " << i;
    EXPECT_EQ(c->events[i].top.size(), 3u);
    EXPECT_EQ(c->events[i].top[0].id, c->tokens[i]);
    EXPECT_FLOAT_EQ(c->events[i].top[0].logprob, c->events[i].logprob);
    EXPECT_GE(c->events[i].top[0].logprob, c->events[i].top[1].logprob);
  }
  EXPECT_EQ(c->reason, FinishReason::kLength);
  EXPECT_EQ(c->stats.n_prompt, static_cast<int>(g.tokens.size()));
  EXPECT_EQ(c->stats.n_generated, static_cast<int>(g.steps.size()));
  EXPECT_EQ(c->progress.back(), std::make_pair(c->stats.n_prompt, c->stats.n_prompt));
}

// More generations than run at once, of different lengths and seeds: each gives what it gives alone.
TEST_F(EngineTest, CompanyChangesNoToken) {
  auto engine = load(tiny(), 2048, 3);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 8; ++i) {
    GenerationRequest r = greedy(counting(5 + 130 * i, 3 + i), 40);
    if (i % 2) r.sampling.temperature = 1.0f, r.sampling.top_k = 0, r.sampling.seed = i, r.choice = i;
    requests.push_back(r);
  }
  std::vector<std::vector<TokenId>> alone;
  for (const auto& r : requests) alone.push_back(run(*engine, r));
  std::vector<std::shared_ptr<Collector>> together;
  for (const auto& r : requests) {
    together.push_back(std::make_shared<Collector>());
    engine->generate(r, together.back());
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(together[i]->wait());
    EXPECT_EQ(together[i]->tokens, alone[i]) << "request " << i;
    EXPECT_EQ(together[i]->ends, 1);
  }
  EXPECT_EQ(engine->stats().running, 0);
  EXPECT_EQ(engine->stats().requests_total, 16u);
}

TEST_F(EngineTest, CancelEndsAPrefillAndFreesTheTurn) {
  auto engine = load(smollm(), 8192, 1);
  auto first = std::make_shared<Collector>(), waiting = std::make_shared<Collector>(),
       last = std::make_shared<Collector>();
  auto running = engine->generate(greedy(counting(8000), 10), first);
  auto queued = engine->generate(greedy(counting(20), 5), waiting);
  engine->generate(greedy(counting(20), 5), last);
  ASSERT_TRUE(first->wait_until([&] { return !first->progress.empty(); }));
  queued->cancel();
  running->cancel();
  ASSERT_TRUE(first->wait());
  ASSERT_TRUE(waiting->wait());
  ASSERT_TRUE(last->wait());
  EXPECT_EQ(first->reason, FinishReason::kCancelled);
  EXPECT_LT(first->progress.back().first, 8000);
  EXPECT_EQ(waiting->reason, FinishReason::kCancelled);
  EXPECT_LT(engine->stats().prompt_tokens_total, 8000u);  // what was computed, not what was asked for
  EXPECT_TRUE(waiting->tokens.empty());
  EXPECT_EQ(last->tokens.size(), 5u);
}

// Six choices of one request for two places: the next request gets the first place that is free.
TEST_F(EngineTest, ManyChoicesDoNotHoldBackTheNextRequest) {
  auto engine = load(tiny(), 2048, 2);
  std::vector<std::shared_ptr<Collector>> choices;
  for (uint32_t i = 0; i < 6; ++i) {
    GenerationRequest r = greedy(counting(10), 600);
    r.choice = i;
    r.group = 1;
    choices.push_back(std::make_shared<Collector>());
    engine->generate(r, choices.back());
  }
  auto next = std::make_shared<Collector>();
  GenerationRequest r = greedy(counting(10), 3);
  r.group = 2;
  engine->generate(r, next);
  ASSERT_TRUE(next->wait());
  EXPECT_EQ(choices.back()->ends, 0);
  for (auto& c : choices) ASSERT_TRUE(c->wait());
}

// A short request answers while a long prompt is still being read.
TEST_F(EngineTest, AShortRequestDoesNotWaitBehindALongPrompt) {
  auto engine = load(smollm(), 8192, 2);
  auto slow = std::make_shared<Collector>(), quick = std::make_shared<Collector>();
  auto handle = engine->generate(greedy(counting(8000), 1), slow);
  ASSERT_TRUE(slow->wait_until([&] { return !slow->progress.empty(); }));
  engine->generate(greedy(counting(10), 3), quick);
  ASSERT_TRUE(quick->wait());
  EXPECT_EQ(slow->ends, 0);
  handle->cancel();
  ASSERT_TRUE(slow->wait());
}

TEST_F(EngineTest, Ends) {
  auto engine = load(tiny(), 300);
  auto only_prompt = std::make_shared<Collector>();
  engine->generate(greedy(counting(300), 0), only_prompt);
  ASSERT_TRUE(only_prompt->wait());
  EXPECT_EQ(only_prompt->reason, FinishReason::kLength);
  EXPECT_TRUE(only_prompt->tokens.empty());

  auto full = std::make_shared<Collector>();
  engine->generate(greedy(counting(290), -1), full);
  ASSERT_TRUE(full->wait());
  EXPECT_EQ(full->tokens.size(), 10u);
  EXPECT_TRUE(full->stats.context_full);

  GenerationRequest stops = greedy(counting(10), 50);
  stops.sampling.ignore_eos = false;
  const TokenId eos = engine->tokenizer()->special().eos;
  stops.sampling.logit_bias = {{eos, 1000.0f}};
  auto stopped = std::make_shared<Collector>();
  engine->generate(stops, stopped);
  ASSERT_TRUE(stopped->wait());
  EXPECT_EQ(stopped->reason, FinishReason::kStop);
  EXPECT_EQ(stopped->tokens, std::vector<TokenId>{eos});
  EXPECT_TRUE(stopped->events[0].end_of_generation);
}

TEST_F(EngineTest, RefusesBeforeAnyWork) {
  auto engine = load(tiny(), 300);
  auto c = std::make_shared<Collector>();
  auto code = [&](GenerationRequest r) {
    try {
      engine->generate(std::move(r), c);
    } catch (const Error& e) {
      return std::string(to_string(e.code())) + ": " + e.what();
    }
    return std::string("accepted");
  };
  EXPECT_EQ(code(greedy(counting(300), 1))
                .find("context_overflow: This model's maximum context length is 300 tokens. However, your "
                      "messages resulted in 300 tokens"),
            0u);
  EXPECT_EQ(code(greedy({}, 1)).find("invalid_argument"), 0u);
  EXPECT_EQ(code(greedy({-1}, 1)).find("invalid_argument"), 0u);
  EXPECT_EQ(code(greedy({1 << 30}, 1)).find("invalid_argument"), 0u);
  EXPECT_EQ(c->ends, 0);
}

TEST_F(EngineTest, MemoryIsToldBeforeItIsTaken) {
  EngineOptions o;
  o.model_path = smollm();
  o.n_ctx = 8192;
  const MemoryEstimate e = Engine::estimate(o);
  EXPECT_TRUE(e.fits());
  EXPECT_EQ(e.n_ctx, 8192);
  EXPECT_EQ(e.kv, 8192ull * 2 * 30 * 3 * 64 * 2);
  EXPECT_NEAR(static_cast<double>(e.weights), 98e6, 2e6);
  o.memory_limit_bytes = e.total() - e.kv / 2;
  try {
    Engine::load(o);
    FAIL() << "loaded into too little memory";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_NE(std::string(error.what()).find("-c 4096"), std::string::npos) << error.what();
  }
  o.n_ctx = 0;  // what fits, instead of the trained length
  EXPECT_EQ(Engine::load(o)->info().n_ctx, 4096);
}

// Work space grows with the context: what is chosen is prepared for, and what is advised fits.
TEST_F(EngineTest, TheContextThatFitsIsTheOnePreparedFor) {
  const testing::EditedModel long_context(tiny(), {{"llama.context_length", gguf::Value(uint32_t{1 << 26})}});
  EngineOptions o;
  o.model_path = long_context.path();
  o.n_threads = 2;
  o.memory_limit_bytes = 64 << 20;
  const MemoryEstimate automatic = Engine::estimate(o);
  EXPECT_TRUE(automatic.fits());
  EXPECT_GT(automatic.n_ctx, 1024);
  EXPECT_EQ(automatic.n_ctx, automatic.n_ctx_fits);
  o.n_ctx = automatic.n_ctx;
  EXPECT_EQ(Engine::estimate(o).scratch, automatic.scratch);
  o.n_ctx = automatic.n_ctx + plan::kPageTokens;
  EXPECT_FALSE(Engine::estimate(o).fits());
  o.n_ctx = 1 << 26;
  const MemoryEstimate too_long = Engine::estimate(o);
  EXPECT_FALSE(too_long.fits());
  EXPECT_EQ(too_long.n_ctx_fits, automatic.n_ctx);
}

// A sink that throws against its contract ends its own generation only.
TEST_F(EngineTest, ASinkThatThrowsHarmsNoOther) {
  class Thrower final : public GenerationSink {
   public:
    explicit Thrower(std::shared_ptr<Collector> c) : collector_(std::move(c)) {}
    void on_token(const TokenEvent&) override { throw std::runtime_error("no room"); }
    void on_finish(FinishReason r, const GenerationStats& s) override { collector_->on_finish(r, s); }
    void on_error(const Error& e) override { collector_->on_error(e); }

   private:
    std::shared_ptr<Collector> collector_;
  };
  auto engine = load(tiny());
  auto thrown = std::make_shared<Collector>(), other = std::make_shared<Collector>();
  engine->generate(greedy(counting(100), 30), other);
  engine->generate(greedy(counting(10), 30), std::make_shared<Thrower>(thrown));
  ASSERT_TRUE(thrown->wait());
  ASSERT_TRUE(other->wait());
  EXPECT_EQ(thrown->error, ErrorCode::kInternal);
  EXPECT_EQ(other->tokens.size(), 30u);
  EXPECT_EQ(engine->stats().kv_bytes_used, engine->stats().cache_bytes_used);
}

TEST_F(EngineTest, LoadReportsProgressAndCanBeCancelled) {
  EngineOptions o;
  o.model_path = smollm();
  o.n_ctx = 256;
  uint64_t last = 0, total = 0;
  Engine::load(o, [&](const LoadProgress& p) {
    EXPECT_GE(p.bytes_done, last);
    last = p.bytes_done, total = p.bytes_total;
    return true;
  });
  EXPECT_EQ(last, total);
  EXPECT_GT(total, 90'000'000u);
  try {
    Engine::load(o, [](const LoadProgress&) { return false; });
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCancelled);
  }
}

TEST_F(EngineTest, ClosingEndsWhatRuns) {
  auto c = std::make_shared<Collector>();
  {
    auto engine = load(smollm(), 8192);
    engine->generate(greedy(counting(4000), 100), c);
  }
  EXPECT_EQ(c->ends, 1);
  EXPECT_EQ(c->error, ErrorCode::kUnavailable);
}

// A draft is counted whole, with its windows, and what is left decides the nearest context.
TEST_F(EngineTest, ADraftsMemoryIsCounted) {
  EngineOptions o;
  o.model_path = smollm();
  o.n_ctx = 8192;
  const MemoryEstimate alone = Engine::estimate(o);
  EngineOptions with = o;
  DraftModelOptions& draft = with.speculation.model;
  draft.path = smollm();  // itself, looking back on 1,024 tokens
  const MemoryEstimate both = Engine::estimate(with);
  EXPECT_EQ(alone.draft, 0u);
  EXPECT_EQ(both.total(), alone.total() + both.draft);
  draft.n_ctx = 1024;
  EXPECT_EQ(Engine::estimate(with).draft, both.draft);
  draft.n_ctx = 512;
  EXPECT_LT(Engine::estimate(with).draft, both.draft);
  draft.n_ctx = 4096;
  EXPECT_GT(Engine::estimate(with).draft, both.draft);
  with.speculation.from_model = false;
  EXPECT_EQ(Engine::estimate(with).draft, 0u);
  with.speculation.from_model = true;

  draft.n_ctx = 0;
  o.memory_limit_bytes = with.memory_limit_bytes =
      alone.total() + both.draft / 2;  // for the model, not for both
  EXPECT_TRUE(Engine::estimate(o).fits());
  const MemoryEstimate tight = Engine::estimate(with);
  EXPECT_FALSE(tight.fits());
  EXPECT_LT(tight.n_ctx_fits, 8192);
  with.n_ctx = tight.n_ctx_fits;
  EXPECT_TRUE(Engine::estimate(with).fits());
}

}  // namespace
}  // namespace moraine
