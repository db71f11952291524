// The prefix cache on whole models: what a prompt begins with is computed once, and a hit changes no bit.
// Every architecture; memory from ample to hardly enough for one.
#include <gtest/gtest.h>
#include <moraine/engine.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <random>

#include "cases.h"
#include "collector.h"

namespace moraine {
namespace {

using testing::Case;
using testing::Collector;
using testing::greedy;
using testing::kCases;
using testing::name_of;
using testing::path_of;
using Tokens = std::vector<TokenId>;

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Tokens first(const Tokens& t, size_t n) { return {t.begin(), t.begin() + static_cast<ptrdiff_t>(n)}; }

class CacheTest : public ::testing::TestWithParam<Case> {
 protected:
  EngineOptions options(int n_ctx = 1024, int n_parallel = 4) const {
    EngineOptions o;
    o.model_path = path_of(GetParam());
    o.n_ctx = n_ctx;
    o.n_parallel = n_parallel;
    o.n_threads = 2;
    o.kv_type_k = o.kv_type_v = GetParam().kv;
    o.cache_bytes = 1 << 30;
    return o;
  }
  Tokens random_tokens(int n, unsigned seed) const {
    std::mt19937 rng(seed);
    Tokens t(n);
    for (TokenId& x : t) x = 10 + static_cast<TokenId>(rng() % 200);
    return t;
  }
  static bool recurrent(const Engine& e) { return e.memory().state > 0; }
  static std::shared_ptr<Collector> finished(Engine& e, GenerationRequest r) {
    auto c = std::make_shared<Collector>();
    e.generate(std::move(r), c);
    EXPECT_TRUE(c->wait());
    EXPECT_FALSE(c->error);
    return c;
  }
};

TEST_P(CacheTest, ATurnCostsItsNewTokens) {
  auto engine = Engine::load(options());
  Tokens session = random_tokens(500, 1);
  int computed = 0;
  for (int turn = 0; turn < 4; ++turn) {
    const auto c = finished(*engine, greedy(session, 12));
    EXPECT_EQ(c->stats.n_cached, computed) << turn;
    EXPECT_EQ(c->progress.back(),
              std::pair(static_cast<int>(session.size()), static_cast<int>(session.size())));
    computed = static_cast<int>(session.size()) + 11;  // what is drawn last was not computed
    session = joined(joined(session, c->tokens), random_tokens(40, 10 + turn));
  }
  EXPECT_EQ(engine->stats().prompt_tokens_total, 500u + 3 * 41);
}

TEST_P(CacheTest, AfterAnEditTheStateBeforeItIsUsed) {
  auto engine = Engine::load(options());
  GenerationRequest r = greedy(random_tokens(900, 1), 2);
  r.boundaries = {700, 300, 310, 600};  // 310: too near to be kept
  finished(*engine, r);
  for (auto [at, expected] : {std::pair{650, 600}, {500, 300}, {320, 300}, {899, 899}}) {
    GenerationRequest edited = r;
    edited.prompt[at] = 5;
    const auto c = finished(*engine, edited);
    EXPECT_EQ(c->stats.n_cached, recurrent(*engine) ? expected : at);
    EXPECT_EQ(c->stats.n_known, at);
    EXPECT_EQ(c->stats.known_next, at < 899 ? r.prompt[at] : -1);  // the last token is not looked up
  }
}

TEST_P(CacheTest, TheSamePromptAgainComputesItsLastToken) {
  auto engine = Engine::load(options());
  for (const bool boundary : {false, true}) {
    GenerationRequest r = greedy(random_tokens(700, boundary), 3);
    if (boundary) r.boundaries = {400, 690};
    const auto c = finished(*engine, r), again = finished(*engine, r);
    EXPECT_EQ(again->stats.n_cached, recurrent(*engine) && boundary ? 690 : 699);
    EXPECT_EQ(again->tokens, c->tokens);
  }
}

// Clients send their own form of an answer, which parts from what was generated at its first token.
TEST_P(CacheTest, AnAnswerInOtherWordsCostsNothingBeforeIt) {
  auto engine = Engine::load(options());
  for (const bool boundary : {false, true}) {
    GenerationRequest r = greedy(random_tokens(700, boundary), 3);
    if (boundary) r.boundaries = {400, 690};
    finished(*engine, r);
    r.prompt = joined(r.prompt, random_tokens(50, 7));
    r.prompt[700] = 5;
    EXPECT_EQ(finished(*engine, r)->stats.n_cached, 700);
  }
}

TEST_P(CacheTest, AForkIsKeptOnceItIsKnown) {
  auto engine = Engine::load(options());
  const Tokens common = random_tokens(500, 1);
  finished(*engine, greedy(joined(common, random_tokens(300, 2)), 2));
  const auto second = finished(*engine, greedy(joined(common, random_tokens(300, 3)), 2));
  const auto third = finished(*engine, greedy(joined(common, random_tokens(300, 4)), 2));
  EXPECT_EQ(second->stats.n_cached, recurrent(*engine) ? 0 : 500);
  EXPECT_EQ(second->stats.n_known, 500);
  EXPECT_EQ(third->stats.n_cached, 500);
}

TEST_P(CacheTest, ACancelledPromptGoesOnWhereItWas) {
  auto engine = Engine::load(options(4096));
  const Tokens prompt = random_tokens(4000, 1);
  auto cancelled = std::make_shared<Collector>();
  auto handle = engine->generate(greedy(prompt, 5), cancelled);
  ASSERT_TRUE(cancelled->wait_until([&] { return !cancelled->progress.empty(); }));
  handle->cancel();
  ASSERT_TRUE(cancelled->wait());
  const auto retry = finished(*engine, greedy(prompt, 5));
  if (cancelled->reason == FinishReason::kCancelled)
    EXPECT_EQ(retry->stats.n_cached, std::min(3999, cancelled->progress.back().first));
}

TEST_P(CacheTest, ScopesAndRequestsThatWantNone) {
  auto engine = Engine::load(options());
  GenerationRequest r = greedy(random_tokens(300, 1), 2);
  r.cache_scope = 1;
  finished(*engine, r);
  r.cache_scope = 2;
  EXPECT_EQ(finished(*engine, r)->stats.n_cached, 0);
  EXPECT_EQ(finished(*engine, r)->stats.n_cached, 299);
  r.reuse = false;
  EXPECT_EQ(finished(*engine, r)->stats.n_cached, 0);
}

// Those that come while their beginning is being computed wait for it.
TEST_P(CacheTest, ACommonBeginningIsComputedOnce) {
  auto engine = Engine::load(options(4096));
  const Tokens common = random_tokens(2000, 1);
  std::vector<std::shared_ptr<Collector>> all;
  for (int i = 0; i < 4; ++i) {
    GenerationRequest r = greedy(joined(common, random_tokens(50, 10 + i)), 5);
    r.boundaries = {2000};
    all.push_back(std::make_shared<Collector>());
    engine->generate(r, all.back());
  }
  for (auto& c : all) ASSERT_TRUE(c->wait());
  EXPECT_EQ(engine->stats().prompt_tokens_total, 2000u + 4 * 50);
}

// Nobody said where they part: those that come beside each other find out.
TEST_P(CacheTest, ACommonBeginningWithoutBoundariesToo) {
  auto engine = Engine::load(options(4096, 5));
  std::vector<std::shared_ptr<Collector>> all;
  const auto send = [&](Tokens prompt) {
    all.push_back(std::make_shared<Collector>());
    engine->generate(greedy(std::move(prompt), 5), all.back());
  };
  send(random_tokens(3000, 2));  // the engine is busy until they are all there
  const Tokens common = random_tokens(1500, 1);
  for (int i = 0; i < 4; ++i) send(joined(common, random_tokens(100, 10 + i)));
  for (auto& c : all) ASSERT_TRUE(c->wait());
  EXPECT_EQ(engine->stats().prompt_tokens_total, 3000u + 1500 + 4 * 100);
}

TEST_P(CacheTest, TheBudgetIsKept) {
  EngineOptions o = options();
  const MemoryEstimate e = Engine::estimate(o);
  o.cache_bytes = e.kv + 2 * e.state;
  auto engine = Engine::load(o);
  EXPECT_EQ(engine->memory().cache, *o.cache_bytes);
  for (int i = 0; i < 6; ++i) {
    GenerationRequest r = greedy(random_tokens(600, i), 3);
    r.boundaries = {300};
    finished(*engine, r);
    EXPECT_LE(engine->stats().cache_bytes_used, *o.cache_bytes);
    EXPECT_GT(engine->stats().cache_bytes_used, 0u);
  }
}

// Answers that outgrow the memory: the youngest wait, and go on where they were.
TEST_P(CacheTest, WhoHasToWaitForMemoryGivesTheSameAnswer) {
  EngineOptions o = options();
  o.speculation.max_draft = 0;  // they grow in step, so that memory ends for two at once
  const MemoryEstimate e = Engine::estimate(o);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 5; ++i) {
    requests.push_back(greedy(random_tokens(100 + 20 * i, i), 500));
    requests.back().sampling.temperature = 1;
    requests.back().sampling.seed = i;
  }
  std::vector<Tokens> alone;
  {
    auto engine = Engine::load(o);
    for (const auto& r : requests) alone.push_back(finished(*engine, r)->tokens);
  }
  for (const uint64_t more : {uint64_t{0}, e.kv / 4 + e.state, e.kv / 2 + 4 * e.state}) {
    o.memory_limit_bytes = e.total() + more;
    o.cache_bytes = more;
    auto engine = Engine::load(o);
    std::vector<std::shared_ptr<Collector>> all;
    for (const auto& r : requests) {
      all.push_back(std::make_shared<Collector>());
      engine->generate(r, all.back());
    }
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_TRUE(all[i]->wait());
      ASSERT_FALSE(all[i]->error);
      EXPECT_EQ(all[i]->tokens, alone[i]) << i;
      EXPECT_EQ(all[i]->stats.n_generated, 500);
    }
    const EngineStats s = engine->stats();
    if (more == e.kv / 4 + e.state) EXPECT_GT(s.suspended_total, 0u);  // two begin, five pages for six
    EXPECT_EQ(s.kv_bytes_used, s.cache_bytes_used);
  }
}

// ---- Random sessions against an engine without a cache, one request at a time.

struct Answer {
  Tokens tokens;
  std::vector<uint32_t> logprobs;  // their bits
  bool operator==(const Answer&) const = default;
};
Answer answer_of(const Collector& c) {
  Answer a{c.tokens, {}};
  for (const TokenEvent& e : c.events) {
    a.logprobs.push_back(std::bit_cast<uint32_t>(e.logprob));
    for (const TokenProb& p : e.top) a.logprobs.push_back(std::bit_cast<uint32_t>(p.logprob));
  }
  return a;
}

struct Script {
  std::vector<GenerationRequest> requests;
  std::vector<Answer> answers;
};

// Three agents and what they do to their prompts: append, edit, cut, fork, send again, ask for choices.
class RandomSessions : public CacheTest {
 protected:
  Script make_script(unsigned seed, int n) const {
    EngineOptions o = options(1024, 1);
    o.cache_bytes = 0;
    auto engine = Engine::load(o);
    std::mt19937 rng(seed);
    const Tokens system = random_tokens(280, seed);
    std::vector<Tokens> agents;
    for (unsigned i = 0; i < 3; ++i) agents.push_back(joined(system, random_tokens(20 + 90 * i, seed + i)));
    Script script;
    while (static_cast<int>(script.requests.size()) < n) {
      Tokens& prompt = agents[rng() % agents.size()];
      const unsigned dice = rng() % 10;
      if (dice == 0) prompt[rng() % prompt.size()] = 7;
      if (dice == 1) prompt = first(prompt, 1 + rng() % prompt.size());
      if (dice == 2) prompt = agents[rng() % agents.size()];
      if (prompt.size() > 900) prompt = joined(first(prompt, 280), random_tokens(100, rng()));
      GenerationRequest r = greedy(prompt, static_cast<int>(rng() % 20));
      r.n_probs = 2;
      r.reuse = false;
      for (int32_t b = 280; b < static_cast<int32_t>(prompt.size()); b += 1 + rng() % 400)
        r.boundaries.push_back(b);
      if (rng() % 3 == 0) r.sampling.temperature = 1, r.sampling.seed = rng();
      const unsigned choices = rng() % 4 ? 1 : 3;
      for (r.choice = 0; r.choice < choices; ++r.choice) {
        script.requests.push_back(r);
        script.answers.push_back(answer_of(*finished(*engine, r)));
      }
      prompt = joined(joined(prompt, script.answers.back().tokens), random_tokens(rng() % 90, rng()));
    }
    EXPECT_EQ(engine->stats().cached_tokens_total, 0u);
    EXPECT_EQ(engine->stats().kv_bytes_used, 0u);
    for (auto& r : script.requests) r.reuse = true;
    return script;
  }

  // In waves of up to six, some of them first sent, cancelled, and sent again.
  static void play(Engine& engine, const Script& script, unsigned seed) {
    std::mt19937 rng(seed);
    for (size_t at = 0; at < script.requests.size();) {
      const size_t end = std::min(script.requests.size(), at + 1 + rng() % 6);
      std::vector<std::shared_ptr<Collector>> wave;
      for (size_t i = at; i < end; ++i) {
        if (rng() % 4 == 0) {
          auto gone = std::make_shared<Collector>();
          auto handle = engine.generate(script.requests[i], gone);
          if (rng() % 2) ASSERT_TRUE(gone->wait_until([&] { return !gone->progress.empty(); }));
          handle->cancel();
        }
        wave.push_back(std::make_shared<Collector>());
        engine.generate(script.requests[i], wave.back());
      }
      for (size_t i = at; i < end; ++i) {
        ASSERT_TRUE(wave[i - at]->wait());
        ASSERT_FALSE(wave[i - at]->error) << "request " << i;
        ASSERT_TRUE(answer_of(*wave[i - at]) == script.answers[i])
            << "request " << i << ", " << wave[i - at]->stats.n_cached << " cached";
      }
      at = end;
    }
  }
};

TEST_P(RandomSessions, GiveTheSameBitsWhateverTheMemory) {
  const Script script = make_script(5, 24);
  const MemoryEstimate e = Engine::estimate(options());
  const uint64_t one = e.kv + e.state;
  struct {
    const char* name;
    uint64_t cache, memory;  // memory: for running sequences and the cache together
  } const cases[] = {{"plenty", 100 * one, 200 * one},
                     {"a small cache", one / 3, 200 * one},
                     {"no cache", 0, 200 * one},
                     {"room for one sequence", one, one}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EngineOptions o = options();
    o.cache_bytes = c.cache;
    o.memory_limit_bytes = e.total() - one + c.memory;
    auto engine = Engine::load(o);
    play(*engine, script, 3);
    if (HasFatalFailure()) return;
    const EngineStats s = engine->stats();
    EXPECT_EQ(s.running + s.waiting, 0);
    EXPECT_EQ(s.kv_bytes_used, s.cache_bytes_used);
    EXPECT_LE(s.cache_bytes_used, engine->memory().cache);
    if (c.memory > one && c.cache >= one) EXPECT_GT(s.cached_tokens_total, 2 * s.prompt_tokens_total);
  }
}

// Many more clients than places, most of them with the same beginning.
TEST_P(RandomSessions, AQueueOfClients) {
  auto engine = Engine::load(options());
  const Tokens common = random_tokens(300, 1);
  std::vector<std::shared_ptr<Collector>> all;
  std::vector<std::shared_ptr<Generation>> handles;
  for (int i = 0; i < 500; ++i) {
    all.push_back(std::make_shared<Collector>());
    handles.push_back(engine->generate(greedy(joined(common, {10 + i % 7}), 2), all.back()));
    if (i % 3 == 0) handles.back()->cancel();
  }
  std::array<Tokens, 7> answers;
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(all[i]->wait());
    EXPECT_FALSE(all[i]->error);
    EXPECT_EQ(all[i]->ends, 1);
    if (i % 3 == 0) continue;
    Tokens& same = answers[i % 7];
    if (same.empty()) same = all[i]->tokens;
    EXPECT_EQ(all[i]->tokens, same);
  }
  EXPECT_LT(engine->stats().prompt_tokens_total, 2000u);
}

INSTANTIATE_TEST_SUITE_P(Models, CacheTest, ::testing::ValuesIn(kCases), name_of);
INSTANTIATE_TEST_SUITE_P(Models, RandomSessions, ::testing::ValuesIn(kCases), name_of);

}  // namespace
}  // namespace moraine
