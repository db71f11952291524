// What the tree finds, shares, keeps and gives up, node by node. Sequences on it: timeline_test.cpp.
#include "cache/prefix_tree.h"

#include <gtest/gtest.h>

#include "cache/fake_backend.h"

namespace moraine::cache {
namespace {

using testing::FakeBackend;
using testing::random_tokens;
using Tokens = std::vector<TokenId>;
constexpr int kPage = plan::kPageTokens;

std::span<const TokenId> part(const Tokens& t, size_t begin, size_t n) {
  return std::span(t).subspan(begin, n);
}

struct Tree {
  explicit Tree(uint64_t state_bytes = 0, uint64_t max_bytes = 1'000'000'000)
      : backend(100, state_bytes), pool(backend), tree(pool) {
    pool.set_max_bytes(max_bytes);
    tree.set_max_bytes(max_bytes);
  }
  // As a sequence that computed these tokens and left; with the state at their end.
  void put(const Tokens& t, PrefixTree::Scope scope = 0) {
    auto* node = tree.match(scope, {}).last;
    const size_t whole = t.size() / kPage * kPage;
    for (size_t at = 0; at < whole; at += kPage) {
      PageRef page = *pool.take_page();
      node = tree.add_page(node, part(t, at, kPage), page);
    }
    StateRef state = backend.state_bytes() > 0 ? std::move(*pool.take_state()) : StateRef();
    if (whole < t.size())
      tree.keep(node, part(t, whole, t.size() - whole), *pool.take_page(), std::move(state));
    else if (state)
      tree.keep_at_end(node, std::move(state));
  }
  int found(const Tokens& t, PrefixTree::Scope scope = 0) { return tree.look(scope, t).n_tokens; }

  FakeBackend backend;
  MemoryPool pool;
  PrefixTree tree;
};

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(PrefixTree, EmptyFindsNothing) {
  Tree t;
  const auto m = t.tree.match(0, random_tokens(10, 1));
  EXPECT_EQ(m.n_tokens, 0);
  EXPECT_EQ(m.known_next, -1);
  EXPECT_EQ(m.in_part, nullptr);
  EXPECT_FALSE(t.tree.evict_one());
}

TEST(PrefixTree, WithoutStatesEveryTokenCounts) {
  Tree t;
  const Tokens known = random_tokens(700, 1);
  t.put(known);
  for (size_t n : {1, 100, 255, 256, 257, 512, 600, 700}) {
    const Tokens prompt = joined({known.begin(), known.begin() + n}, {5000, 5001});
    const auto m = t.tree.match(0, prompt);
    EXPECT_EQ(m.n_tokens, n);
    EXPECT_EQ(m.n_common, n);
    EXPECT_EQ(m.in_part == nullptr, n % kPage == 0) << n;
    EXPECT_EQ(m.known_next, n < 700 ? known[n] : -1) << n;
  }
}

TEST(PrefixTree, APromptsOwnEndIsNoDifference) {
  Tree t;
  const Tokens known = random_tokens(700, 1);
  t.put(known);
  for (size_t n : {0, 10, 256, 300, 512, 700})
    EXPECT_EQ(t.tree.match(0, part(known, 0, n)).known_next, -1) << n;
}

TEST(PrefixTree, TheDifferenceIsFromWhatWasUsedLast) {
  Tree t;
  const Tokens start = random_tokens(300, 1);
  t.put(joined(start, {7001, 1, 2}));
  t.put(joined(start, {7002, 1, 2}));
  EXPECT_EQ(t.tree.match(0, joined(start, {7001, 1})).n_tokens, 302);
  EXPECT_EQ(t.tree.match(0, joined(start, {7003, 1})).known_next, 7001);
  EXPECT_EQ(t.tree.match(0, joined(start, {7002, 1})).n_tokens, 302);
  EXPECT_EQ(t.tree.match(0, joined(start, {7003, 1})).known_next, 7002);
}

TEST(PrefixTree, WithStatesTheDeepestOneCounts) {
  Tree t(1000);
  const Tokens known = random_tokens(1000, 1);
  t.put({known.begin(), known.begin() + 300});
  t.put({known.begin(), known.begin() + 512});  // at a page's end
  t.put(known);
  struct {
    size_t n;
    int found;
  } cases[] = {{299, 0}, {300, 300}, {511, 300}, {512, 512}, {999, 512}, {1000, 1000}};
  for (const auto& c : cases) {
    const auto m = t.tree.match(0, joined({known.begin(), known.begin() + c.n}, {5000}));
    EXPECT_EQ(m.n_tokens, c.found) << c.n;
    EXPECT_EQ(m.n_common, c.n);
    EXPECT_EQ(m.state >= 0, c.found > 0);
  }
}

// Two prompts part within a page, one of them with a state before the fork on its page: found from both.
TEST(PrefixTree, AStateOnAnotherBranchsPageIsFound) {
  Tree t(1000);
  const Tokens start = random_tokens(300, 1);
  t.put(start);
  t.put(joined(start, random_tokens(400, 2)));  // its first page takes the start's place, with its state
  const Tokens third = joined(start, random_tokens(400, 3));
  t.put(third);
  EXPECT_EQ(t.found(joined(start, {5000})), 300);
  EXPECT_EQ(t.found(third), 700);
  EXPECT_EQ(t.found({third.begin(), third.begin() + 699}), 300);
}

TEST(PrefixTree, EqualPagesAreHeldOnce) {
  Tree t;
  const Tokens known = random_tokens(1024, 1);
  t.put(known);
  EXPECT_EQ(t.backend.n_pages(), 4u);
  PageRef mine = *t.pool.take_page();
  const plan::PageId before = mine.id();
  t.tree.add_page(t.tree.match(0, {}).last, part(known, 0, kPage), mine);
  EXPECT_NE(mine.id(), before);
  EXPECT_EQ(t.backend.n_pages(), 4u);
  t.put(joined({known.begin(), known.begin() + 512}, random_tokens(256, 2)));
  EXPECT_EQ(t.backend.n_pages(), 5u);
  EXPECT_EQ(t.pool.used_bytes(), 500u);
}

TEST(PrefixTree, ABeginningGrowsIntoALongerPage) {
  Tree t;
  const Tokens known = random_tokens(256, 1);
  for (size_t n : {10, 100, 255, 256}) {
    t.put({known.begin(), known.begin() + n});
    EXPECT_EQ(t.backend.n_pages(), 1u);
    EXPECT_EQ(t.found(known), static_cast<int>(n));
  }
  t.put({known.begin(), known.begin() + 50});  // nothing new
  EXPECT_EQ(t.backend.n_pages(), 1u);
}

TEST(PrefixTree, ScopesShareNothing) {
  Tree t;
  const Tokens known = random_tokens(600, 1);
  t.put(known, 1);
  EXPECT_EQ(t.found(known, 1), 600);
  EXPECT_EQ(t.found(known, 2), 0);
  EXPECT_EQ(t.found(known, 0), 0);
  EXPECT_EQ(t.tree.match(2, known).known_next, -1);
  t.put(known, 2);
  EXPECT_EQ(t.backend.n_pages(), 6u);
}

TEST(PrefixTree, TheLongestUnusedGoesFirst) {
  Tree t;
  const Tokens a = random_tokens(256, 1), b = random_tokens(256, 2), c = random_tokens(256, 3);
  t.put(a), t.put(b), t.put(c);
  t.tree.match(0, a);
  ASSERT_TRUE(t.tree.evict_one());
  EXPECT_EQ(t.found(b), 0);
  ASSERT_TRUE(t.tree.evict_one());
  EXPECT_EQ(t.found(c), 0);
  EXPECT_EQ(t.found(a), 256);
}

// Even when no prompt ever comes again.
TEST(PrefixTree, TheOldestGoesFirstWithoutMatches) {
  Tree t;
  for (unsigned i = 0; i < 20; ++i) t.put(random_tokens(256, i));
  for (int i = 0; i < 10; ++i) t.tree.evict_one();
  for (unsigned i = 0; i < 20; ++i) EXPECT_EQ(t.found(random_tokens(256, i)), i < 10 ? 0 : 256) << i;
}

TEST(PrefixTree, ABranchGoesFromItsEnd) {
  Tree t;
  const Tokens known = random_tokens(1024, 1);
  t.put(known);
  for (int left : {768, 512, 256, 0}) {
    ASSERT_TRUE(t.tree.evict_one());
    EXPECT_EQ(t.found(known), left);
  }
  EXPECT_FALSE(t.tree.evict_one());
  EXPECT_EQ(t.pool.used_bytes(), 0u);
}

// The state whose loss costs least for its bytes: one that has another just before it.
TEST(PrefixTree, StatesBetweenOthersAreThinnedFirst) {
  Tree t(1000);
  const Tokens known = random_tokens(4096, 1);
  for (size_t n : {2000, 2100, 4096}) t.put({known.begin(), known.begin() + n});
  ASSERT_TRUE(t.tree.evict_one());
  EXPECT_EQ(t.found({known.begin(), known.begin() + 2150}), 2000);
  EXPECT_EQ(t.found(known), 4096);
}

TEST(PrefixTree, PagesBeyondTheLastStateGo) {
  Tree t(1);  // states are cheap: pages are 100 times as large
  const Tokens known = random_tokens(2048, 1);
  t.put({known.begin(), known.begin() + 1536});
  t.put(known);
  ASSERT_TRUE(t.tree.evict_one());
  EXPECT_EQ(t.found(known), 1536);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(t.tree.evict_one());
  EXPECT_EQ(t.found(known), 1536);
  EXPECT_EQ(t.backend.n_pages(), 6u);
}

TEST(PrefixTree, WhatIsStoodOnStays) {
  Tree t;
  const Tokens known = random_tokens(1024, 1);
  t.put(known);
  auto* node = t.tree.match(0, part(known, 0, 512)).last;
  t.tree.pin(node, 1);
  while (t.tree.evict_one()) {
  }
  EXPECT_EQ(t.found(known), 512);
  t.tree.clear();
  EXPECT_EQ(t.found(known), 512);
  t.tree.pin(node, -1);
  t.tree.clear();
  EXPECT_EQ(t.found(known), 0);
  EXPECT_EQ(t.backend.n_pages(), 0u);
}

TEST(PrefixTree, TrimKeepsTheBudget) {
  Tree t(1000);
  for (unsigned i = 0; i < 30; ++i) t.put(random_tokens(300 + 37 * i, i));
  for (uint64_t budget : {30'000, 9'999, 1'200, 1'199, 0}) {
    t.tree.set_max_bytes(budget);
    t.tree.trim();
    EXPECT_LE(t.tree.held_bytes(), budget);
    EXPECT_EQ(t.tree.held_bytes(), t.pool.used_bytes());
  }
  EXPECT_EQ(t.backend.n_pages() + t.backend.n_states(), 0u);
}

TEST(PrefixTree, WhatSequencesUseIsNotCountedAsHeld) {
  Tree t;
  const Tokens known = random_tokens(512, 1);
  t.put(known);
  EXPECT_EQ(t.tree.held_bytes(), 200u);
  const PageRef used = PrefixTree::page(*t.tree.match(0, known).last);
  EXPECT_EQ(t.tree.held_bytes(), 100u);
  const auto look = t.tree.look(0, known);
  EXPECT_EQ(look.n_tokens, 512);
  EXPECT_EQ(look.held_bytes, 100u);
  t.tree.clear();
  EXPECT_EQ(t.pool.used_bytes(), 100u);  // it is still read
}

// 30,000 pages in one chain: nothing recurses, nothing is quadratic.
TEST(PrefixTree, DeepChains) {
  Tree t(10);
  const Tokens known = random_tokens(30'000 * kPage, 1, 4);
  auto* node = t.tree.match(0, {}).last;
  const PageRef shared = *t.pool.take_page();
  for (int i = 0; i < 30'000; ++i) {
    PageRef page = shared;
    node = t.tree.add_page(node, part(known, size_t{256} * i, kPage), page);
  }
  t.tree.keep_at_end(node, std::move(*t.pool.take_state()));
  EXPECT_EQ(t.tree.match(0, known).n_tokens, 30'000 * kPage);
  EXPECT_TRUE(t.tree.evict_one());
  t.tree.clear();
  EXPECT_EQ(t.tree.match(0, known).n_common, 0);
}

}  // namespace
}  // namespace moraine::cache
