// Sequences on the tree: what they take up, leave, and share, with memory that tells whose it is.
#include "cache/timeline.h"

#include <gtest/gtest.h>

#include "cache/fake_backend.h"

namespace moraine::cache {
namespace {

using testing::FakeBackend;
using testing::random_tokens;
using Tokens = std::vector<TokenId>;

struct Cache {
  explicit Cache(uint64_t state_bytes = 0, uint64_t max_bytes = 1'000'000, uint64_t keep = UINT64_MAX)
      : backend(100, state_bytes), pool(backend), tree(pool) {
    pool.set_max_bytes(max_bytes);
    tree.set_max_bytes(std::min(keep, max_bytes));
  }
  FakeBackend backend;
  MemoryPool pool;
  PrefixTree tree;
};

// A sequence as the engine drives it: in slices, with states where they are asked for.
struct Session {
  Session(Cache& c, Tokens t, PrefixTree::Scope scope = 0)
      : cache(c), tokens(std::move(t)), timeline(c.pool, c.tree, scope) {}
  bool begin() {
    computed = timeline.begin(tokens);
    cached = computed;
    return computed >= 0;
  }
  bool advance(int32_t n, bool checkpoint = false) {
    n = std::min(n, static_cast<int32_t>(tokens.size()) - computed);
    if (!timeline.grow_to(computed + n)) return false;
    cache.backend.compute(tokens, computed, computed + n, timeline.pages(), timeline.state());
    computed += n;
    timeline.commit(done());
    if (checkpoint) timeline.checkpoint(done());
    return true;
  }
  bool all(int32_t slice = 100) {
    while (computed < static_cast<int32_t>(tokens.size()))
      if (!advance(slice)) return false;
    return true;
  }
  void finish() { timeline.finish(done()); }
  std::span<const TokenId> done() const { return {tokens.data(), static_cast<size_t>(computed)}; }

  Cache& cache;
  Tokens tokens;
  Timeline timeline;
  int32_t computed = 0, cached = 0;
};

int computed_again(Cache& c, const Tokens& tokens) {
  Session r(c, tokens);
  EXPECT_TRUE(r.begin());
  EXPECT_TRUE(r.all());
  r.finish();
  return static_cast<int>(tokens.size()) - r.cached;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class EveryKind : public ::testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(StateBytes, EveryKind, ::testing::Values(0, 50, 1000));

TEST_P(EveryKind, TheNextTurnComputesItsNewTokens) {
  Cache c(GetParam());
  Tokens session = random_tokens(700, 1);
  EXPECT_EQ(computed_again(c, session), 700);
  for (int turn = 0; turn < 10; ++turn) {
    const auto more = random_tokens(1 + 67 * turn, 100 + turn);
    session = joined(session, more);
    EXPECT_EQ(computed_again(c, session), static_cast<int>(more.size()));
  }
}

TEST_P(EveryKind, ThereIsAlwaysARowToDrawFrom) {
  Cache c(GetParam());
  for (int n : {1, 2, 255, 256, 257, 512}) {
    const Tokens t = random_tokens(n, n);
    computed_again(c, t);
    EXPECT_GE(computed_again(c, t), 1);
    EXPECT_EQ(computed_again(c, joined(t, {1})), 1);
  }
}

TEST_P(EveryKind, TwoWithOnePromptShareItsPages) {
  Cache c(GetParam());
  const Tokens prompt = random_tokens(1024, 1);
  Session a(c, joined(prompt, {1})), b(c, joined(prompt, {2}));
  ASSERT_TRUE(a.begin() && b.begin());
  for (int i = 0; i < 11; ++i) ASSERT_TRUE(a.advance(100) && b.advance(100));
  EXPECT_EQ(c.backend.n_pages(), 4u + 2u);
  a.finish(), b.finish();
  EXPECT_EQ(computed_again(c, joined(prompt, {1, 7})), 1);
  EXPECT_EQ(computed_again(c, joined(prompt, {2, 7})), 1);
}

TEST_P(EveryKind, ACancelledPrefillGoesOnWhereItWas) {
  Cache c(GetParam());
  Session a(c, random_tokens(1000, 1));
  ASSERT_TRUE(a.begin());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(a.advance(111));
  a.finish();
  EXPECT_EQ(computed_again(c, a.tokens), 1000 - 333);
}

// What a sequence writes into its open page after a part of it was kept harms nobody who took that part.
TEST_P(EveryKind, AnOpenPageIsSharedByCopy) {
  Cache c(GetParam());
  const Tokens start = random_tokens(300, 1);
  Session a(c, joined(start, random_tokens(500, 2)));
  ASSERT_TRUE(a.begin() && a.advance(300, true));
  EXPECT_EQ(computed_again(c, start), GetParam() > 0 ? 300 : 44);  // another leaves that part
  Session b(c, joined(start, random_tokens(500, 3)));
  ASSERT_TRUE(b.begin());
  EXPECT_EQ(b.cached, 300);
  ASSERT_TRUE(a.advance(50));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(a.advance(30) && b.advance(29));
  a.finish(), b.finish();
  EXPECT_EQ(computed_again(c, joined(a.tokens, {1})), 1);
}

TEST(Timeline, StatesAreKeptWhereAsked) {
  Cache c(1000);
  const Tokens t = random_tokens(2000, 1);
  Session a(c, t);
  ASSERT_TRUE(a.begin());
  ASSERT_TRUE(a.advance(300, true) && a.advance(212, true) && a.advance(88, false) && a.advance(1400));
  a.finish();
  for (auto [n, cached] : {std::pair{299, 0}, {301, 300}, {512, 300}, {513, 512}, {1999, 512}}) {
    Session b(c, joined({t.begin(), t.begin() + n}, {5000}));
    ASSERT_TRUE(b.begin());
    EXPECT_EQ(b.cached, n == 512 ? 512 : cached) << n;
    EXPECT_EQ(b.timeline.n_common(), n);
    EXPECT_EQ(b.timeline.known_next(), -1);  // the last token is always computed: it is not compared
  }
}

TEST(Timeline, TellsWhatCameWhereThePromptIsAnother) {
  Cache c;
  const Tokens t = random_tokens(2000, 1);
  computed_again(c, t);
  Tokens edited = t;
  edited[1500] = 9999;
  Session b(c, edited);
  ASSERT_TRUE(b.begin());
  EXPECT_EQ(b.timeline.n_common(), 1500);
  EXPECT_EQ(b.timeline.known_next(), t[1500]);
}

TEST(Timeline, ReuseIsNotForced) {
  Cache c(50);
  const Tokens t = random_tokens(600, 1);
  computed_again(c, t);
  Timeline line(c.pool, c.tree, 0);
  EXPECT_EQ(line.begin(t, false), 0);
}

TEST(Timeline, WithoutABudgetNothingIsLeft) {
  for (uint64_t state_bytes : {0, 50}) {
    Cache c(state_bytes, 1'000'000, 0);
    Session a(c, random_tokens(1000, 1));
    ASSERT_TRUE(a.begin() && a.advance(300, true) && a.all());
    EXPECT_EQ(c.backend.n_states(), state_bytes > 0 ? 1u : 0u);
    a.finish();
    EXPECT_EQ(c.pool.used_bytes(), 0u);
  }
}

TEST(Timeline, CheckpointsKeepTheBudgetWhileASequenceRuns) {
  Cache c(1000, 1'000'000, 3500);
  Session a(c, random_tokens(5000, 1));
  ASSERT_TRUE(a.begin());
  while (a.computed < 5000) {
    ASSERT_TRUE(a.advance(100, true));
    EXPECT_LE(c.tree.held_bytes(), 3500u);
  }
  a.finish();
  EXPECT_LE(c.tree.held_bytes(), 3500u);
}

TEST(Timeline, ShortMemoryIsSaidAndNothingIsHeld) {
  Cache c(1000, 1250);
  Session a(c, random_tokens(1000, 1)), b(c, random_tokens(10, 2));
  ASSERT_TRUE(a.begin());
  EXPECT_TRUE(a.advance(512));
  EXPECT_FALSE(a.timeline.grow_to(513));
  EXPECT_FALSE(b.begin());
  EXPECT_EQ(c.pool.used_bytes(), 1200u);
  a.finish();  // what it leaves gives way
  EXPECT_TRUE(b.begin());
  EXPECT_TRUE(b.all());
}

TEST(Timeline, ASystemWithoutMemoryHarmsNothing) {
  Cache c(1000);
  Session a(c, random_tokens(1000, 1)), b(c, random_tokens(10, 2));
  ASSERT_TRUE(a.begin() && a.advance(300));
  c.backend.no_memory = true;
  EXPECT_NO_THROW(a.timeline.checkpoint(a.done()));
  EXPECT_FALSE(a.timeline.grow_to(1000));
  EXPECT_FALSE(b.begin());
  EXPECT_EQ(c.pool.free_bytes(), 0u);  // whatever was planned
  EXPECT_EQ(c.pool.refusal(), "no memory");
  c.backend.no_memory = false;
  EXPECT_FALSE(b.begin());
  c.pool.hope_again();
  EXPECT_TRUE(a.all() && b.begin() && b.all());
  a.finish(), b.finish();
  EXPECT_EQ(c.pool.used_bytes(), c.tree.held_bytes());
}

// Agents at random: several at once, prompts that grow, fork, are edited, cancelled and sent again, in two
// scopes, with memory from ample to hardly enough. FakeBackend::compute() compares every byte they read.
TEST(Timeline, RandomSessions) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed);
    const uint64_t state_bytes = std::array{0, 50, 700}[seed % 3];
    const uint64_t memory = std::array{1'000'000, 12'000, 5'000, 2'500}[seed / 3 % 4];
    Cache c(state_bytes, memory, seed % 5 == 0 ? memory / 3 : UINT64_MAX);
    std::vector<Tokens> prompts(1, random_tokens(200, seed, 3));
    std::vector<std::unique_ptr<Session>> running;
    for (int step = 0; step < 400; ++step) {
      const unsigned dice = rng() % 100;
      if (dice < 25 && running.size() < 4) {
        Tokens t = prompts[rng() % prompts.size()];
        if (rng() % 3 == 0) t.resize(1 + rng() % t.size());
        if (rng() % 4 == 0) t[rng() % t.size()] = 9;
        if (rng() % 3 && t.size() < 1500) t = joined(t, random_tokens(rng() % 400, rng() % 4, 3));
        prompts.push_back(t);
        auto r = std::make_unique<Session>(c, t, seed % 2 ? rng() % 2 : 0);
        if (r->begin()) running.push_back(std::move(r));
      } else if (dice < 90 && !running.empty()) {
        auto& r = running[rng() % running.size()];
        const bool ok = r->advance(1 + rng() % 300, rng() % 3 == 0);
        ASSERT_FALSE(::testing::Test::HasFatalFailure());
        if (!ok || r->computed == static_cast<int32_t>(r->tokens.size())) {
          r->finish();
          std::swap(r, running.back());
          running.pop_back();
        }
      } else if (!running.empty()) {
        if (rng() % 2) running.back()->finish();  // cancelled; else failed: gone without a word
        running.pop_back();
      }
      ASSERT_LE(c.pool.used_bytes(), memory);
      ASSERT_EQ(c.pool.used_bytes(), c.backend.n_pages() * 100 + c.backend.n_states() * state_bytes);
    }
    running.clear();
    EXPECT_EQ(c.pool.used_bytes(), c.tree.held_bytes());
    c.tree.clear();
    EXPECT_EQ(c.backend.n_pages() + c.backend.n_states(), 0u);
  }
}

}  // namespace
}  // namespace moraine::cache
