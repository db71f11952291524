// Speculation on whole models: never another token than without. Drafts of any acceptance, every
// architecture, alone and in company, greedy and sampled; and the state after drafts that did not hold.
#include <gtest/gtest.h>
#include <moraine/engine.h>

#include <random>

#include "cases.h"
#include "generations.h"

namespace moraine {
namespace {

using testing::Case;
using testing::greedy;
using testing::kCases;
using testing::name_of;
using testing::path_of;
using testing::random_tokens;
using testing::run_all;
using testing::Said;
using testing::sampled;
using testing::Tokens;
using testing::tokens_to_generate;

class SpeculationTest : public ::testing::TestWithParam<Case> {
 protected:
  EngineOptions options() const {
    EngineOptions o;
    o.model_path = path_of(GetParam());
    o.n_ctx = 1024 + tokens_to_generate();
    o.n_parallel = 8;
    o.n_threads = 2;
    o.kv_type_k = o.kv_type_v = GetParam().kv;
    o.cache_bytes = 1 << 28;
    o.speculation.max_draft = 0;
    return o;
  }
};

// Drafts that hold up to some place, chosen at random: from what a run without speculation said.
void script_from(EngineOptions& o, const std::vector<Tokens>& truths, double p_wrong, unsigned seed) {
  o.speculation.max_draft = 12;
  o.speculation.always = true;
  o.speculation.script = [truths, p_wrong, rng = std::mt19937(seed)](std::span<const TokenId> tokens,
                                                                     int32_t room, Tokens& draft) mutable {
    for (const Tokens& truth : truths) {
      if (tokens.size() >= truth.size() || !std::equal(tokens.begin(), tokens.end(), truth.begin())) continue;
      const auto n = std::min<size_t>(rng() % (room + 1), truth.size() - tokens.size());
      for (size_t i = 0; i < n; ++i) {
        const bool wrong = std::uniform_real_distribution<>()(rng) < p_wrong;
        draft.push_back(wrong ? 10 + static_cast<TokenId>(rng() % 200) : truth[tokens.size() + i]);
      }
      return;
    }
    FAIL() << "the tokens are not those of any run without speculation";
  };
}

TEST_P(SpeculationTest, AnyDraftLeavesTheTokensAsTheyWere) {
  const int n = tokens_to_generate();
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 8; ++i)
    requests.push_back(i % 2 ? sampled(random_tokens(60 + 17 * i, i), n, i)
                             : greedy(random_tokens(60 + 17 * i, i), n));
  const std::vector<Said> plain = run_all(*Engine::load(options()), requests);
  std::vector<Tokens> truths;
  for (size_t i = 0; i < requests.size(); ++i) {
    truths.push_back(requests[i].prompt);
    truths.back().insert(truths.back().end(), plain[i].tokens.begin(), plain[i].tokens.end());
  }
  for (const double p_wrong : {0.0, 0.2, 0.7}) {
    SCOPED_TRACE(p_wrong);
    EngineOptions o = options();
    script_from(o, truths, p_wrong, 5);
    {
      const auto engine = Engine::load(o);
      const std::vector<Said> together = run_all(*engine, requests);
      for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(together[i] == plain[i]) << i;
      const EngineStats stats = engine->stats();
      EXPECT_GT(stats.accepted_tokens_total, 0u);
      if (p_wrong > 0) EXPECT_LT(stats.accepted_tokens_total, stats.drafted_tokens_total);
      if (p_wrong == 0) EXPECT_EQ(stats.accepted_tokens_total, stats.drafted_tokens_total);
    }
    o.n_threads = 1;
    const auto engine = Engine::load(o);
    for (const size_t i : {0u, 1u}) {
      const Said alone = run_all(*engine, {requests[i]})[0];
      EXPECT_TRUE(alone == plain[i]) << i;
      EXPECT_GT(alone.stats.n_accepted, 0);
    }
  }
}

TEST_P(SpeculationTest, ATurnGoesOnFromWhatDraftsLeftBehind) {
  const GenerationRequest first = sampled(random_tokens(120, 2), 60, 2);
  GenerationRequest next = sampled({}, 30, 3);
  std::vector<Tokens> truths(2, first.prompt);
  const auto cold = Engine::load(options());
  const Said said = run_all(*cold, {first})[0];
  for (Tokens& t : truths) t.insert(t.end(), said.tokens.begin(), said.tokens.end());
  truths[1].push_back(11);
  next.prompt = truths[1];
  next.reuse = false;
  const Said expected = run_all(*cold, {next})[0];
  truths[1].insert(truths[1].end(), expected.tokens.begin(), expected.tokens.end());
  next.reuse = true;
  for (unsigned seed = 0; seed < 4; ++seed) {
    EngineOptions o = options();
    script_from(o, truths, 0.2, seed);
    const auto engine = Engine::load(o);
    EXPECT_TRUE(run_all(*engine, {first})[0] == said);
    const Said turn = run_all(*engine, {next})[0];
    EXPECT_TRUE(turn == expected);
    EXPECT_GE(turn.stats.n_cached, static_cast<int>(truths[0].size()) - 1);
  }
}

// The drafters that need no model, with the controller that may choose them.
TEST_P(SpeculationTest, FreeDraftersLeaveTheTokensAsTheyWere) {
  const int n = tokens_to_generate();
  Tokens prompt = random_tokens(80, 3);
  const Tokens once = prompt;
  prompt.insert(prompt.end(), once.begin(), once.end());
  const std::vector<GenerationRequest> requests = {greedy(prompt, n), sampled(prompt, n, 9)};
  const std::vector<Said> plain = run_all(*Engine::load(options()), requests);
  for (const bool always : {true, false}) {
    EngineOptions o = options();
    o.speculation.max_draft = 16;
    o.speculation.always = always;
    const auto engine = Engine::load(o);
    for (int round = 0; round < 2; ++round) {
      const std::vector<Said> said = run_all(*engine, requests);
      for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(said[i] == plain[i]) << i;
    }
    // The second round repeats the first, which the server remembers.
    if (always) EXPECT_GT(engine->stats().accepted_tokens_total, static_cast<uint64_t>(n) / 2);
  }
}

TEST_P(SpeculationTest, LimitsAndStopsCutADraft) {
  const GenerationRequest request = greedy(random_tokens(50, 4), 40);
  const Said plain = run_all(*Engine::load(options()), {request})[0];
  Tokens truth = request.prompt;
  truth.insert(truth.end(), plain.tokens.begin(), plain.tokens.end());
  EngineOptions o = options();
  script_from(o, {truth}, 0, 1);
  o.n_ctx = 300;
  const auto engine = Engine::load(o);
  for (const int n : {1, 2, 3, 7, 39}) {
    GenerationRequest shorter = request;
    shorter.max_tokens = n;
    EXPECT_EQ(run_all(*engine, {shorter})[0].tokens, Tokens(plain.tokens.begin(), plain.tokens.begin() + n));
  }
  EXPECT_EQ(engine->stats().kv_bytes_used, engine->stats().cache_bytes_used);
}

TEST_P(SpeculationTest, ARequestMayAskForShorterDraftsOrNone) {
  GenerationRequest request = greedy(random_tokens(50, 4), 40);
  const Said plain = run_all(*Engine::load(options()), {request})[0];
  Tokens truth = request.prompt;
  truth.insert(truth.end(), plain.tokens.begin(), plain.tokens.end());
  EngineOptions o = options();
  o.speculation.max_draft = 12;
  o.speculation.always = true;
  o.speculation.script = [&](std::span<const TokenId> tokens, int32_t room, Tokens& draft) {
    const auto next = std::span(truth).subspan(tokens.size());
    draft.assign(next.begin(), next.begin() + std::min<ptrdiff_t>(room, std::ssize(next)));
  };
  const auto engine = Engine::load(o);
  // A step makes one token and those of its draft, which all hold; the prompt's own, where it is not in the
  // cache, the first alone.
  for (const auto& [most, steps] : {std::pair{0, 40}, {3, 10}, {1000, 4}}) {
    request.max_draft = most;
    const Said said = run_all(*engine, {request})[0];
    EXPECT_TRUE(said == plain);
    EXPECT_NEAR(said.stats.n_generated - said.stats.n_accepted, steps, 1) << most;
  }
}

TEST_P(SpeculationTest, AFullContextEndsInTheMiddleOfADraft) {
  EngineOptions o = options();
  o.n_ctx = 256;
  GenerationRequest request = greedy(random_tokens(230, 6), -1);
  const Said plain = run_all(*Engine::load(o), {request})[0];
  Tokens truth = request.prompt;
  truth.insert(truth.end(), plain.tokens.begin(), plain.tokens.end());
  script_from(o, {truth}, 0, 2);
  const Said said = run_all(*Engine::load(o), {request})[0];
  EXPECT_TRUE(said == plain);
  EXPECT_TRUE(said.stats.context_full);
}

INSTANTIATE_TEST_SUITE_P(Models, SpeculationTest, ::testing::ValuesIn(kCases), name_of);

}  // namespace
}  // namespace moraine
