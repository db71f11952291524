#include "tokenizer/merger.h"

#include <gtest/gtest.h>

#include <random>

namespace moraine {
namespace {

// The definition: join the leftmost pair of lowest rank until there is none.
std::vector<TokenId> merge_slowly(const MergeTable& table, std::vector<TokenId> ids) {
  while (true) {
    const Merge* best = nullptr;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const Merge* m = table.find(ids[i], ids[i + 1]);
      if (m != nullptr && (best == nullptr || m->rank < best->rank)) best = m, at = i;
    }
    if (best == nullptr) return ids;
    ids[at] = best->result;
    ids.erase(ids.begin() + at + 1);
  }
}

TEST(Merger, DoesWhatTheDefinitionSays) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    MergeTable table;
    const int n_ids = 2 + random() % 8;
    const int n_merges = random() % 30;
    // Some ranks are shared by several pairs, as equal scores of a SentencePiece model are.
    for (int i = 0; i < n_merges; ++i)
      table.add(random() % n_ids, random() % n_ids,
                {static_cast<uint32_t>(i / 2), static_cast<TokenId>(random() % n_ids)});
    std::vector<TokenId> word(random() % 40);
    for (TokenId& id : word) id = random() % n_ids;

    Merger merger(table);
    for (const TokenId id : word) merger.push(id);
    std::vector<TokenId> merged = {-7};
    merger.finish(merged);
    std::vector<TokenId> expected = merge_slowly(table, word);
    expected.insert(expected.begin(), -7);
    ASSERT_EQ(merged, expected) << "round " << round;
  }
}

// Large parts join large parts, in any order of ranks: what stood between them must be gone for good.
TEST(Merger, RunsOfEqualSymbols) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    MergeTable table;
    for (TokenId left = 0; left < 6; ++left)
      for (TokenId right = 0; right < 6; ++right)
        if (random() % 2)
          table.add(left, right, {static_cast<uint32_t>(random() % 40), std::max(left, right) + 1});
    std::vector<TokenId> word(random() % 200, 0);
    Merger merger(table);
    for (const TokenId id : word) merger.push(id);
    std::vector<TokenId> merged;
    merger.finish(merged);
    ASSERT_EQ(merged, merge_slowly(table, word)) << "round " << round;
  }
}

TEST(Merger, StartsAfreshAfterEachWord) {
  MergeTable table;
  table.add(1, 2, {0, 3});
  Merger merger(table);
  std::vector<TokenId> out;
  merger.push(1);
  merger.finish(out);
  merger.push(2);
  merger.finish(out);
  merger.finish(out);
  EXPECT_EQ(out, (std::vector<TokenId>{1, 2}));
}

TEST(Merger, AMillionEqualSymbols) {
  MergeTable table;
  for (TokenId id = 0; id < 12; ++id) table.add(id, id, {static_cast<uint32_t>(id), id + 1});
  Merger merger(table);
  const size_t n = 1'000'000;
  for (size_t i = 0; i < n; ++i) merger.push(0);
  std::vector<TokenId> out;
  merger.finish(out);
  size_t total = 0;
  for (const TokenId id : out) total += size_t{1} << id;
  EXPECT_EQ(total, n);
  EXPECT_LE(out.size(), n / 4096 + 12);
}

}  // namespace
}  // namespace moraine
