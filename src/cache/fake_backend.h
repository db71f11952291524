// Test support: a backend whose pages and states hold hashes of the tokens they stand for, so that a test
// sees at once whether a sequence was given another's memory. Computes nothing.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>

#include "plan/backend.h"

namespace moraine::cache::testing {

// What position p of a prompt leaves behind: all tokens up to it are in it.
inline uint64_t next_hash(uint64_t hash, TokenId t) {
  hash = (hash ^ static_cast<uint64_t>(t + 1)) * 0x9E3779B97F4A7C15ull;
  return hash ^ (hash >> 29);
}

class FakeBackend final : public plan::Backend {
 public:
  explicit FakeBackend(uint64_t page_bytes = 100, uint64_t state_bytes = 0)
      : page_bytes_(page_bytes), state_bytes_(state_bytes) {}

  std::string describe() const override { return "fake"; }
  void declare_weights(std::vector<plan::Weight>) override {}
  void write_weight(plan::WeightId, int32_t, int32_t, const uint8_t*) override {}
  uint64_t weight_bytes() const override { return 0; }
  void set_kv(const plan::KvShape&, KvType, KvType) override {}
  void set_state(const plan::StateShape&) override {}
  std::unique_ptr<plan::Executable> prepare(const plan::Plan&, const plan::StepLimits&) override {
    return nullptr;
  }

  uint64_t page_bytes() const override { return page_bytes_; }
  plan::PageId allocate_page() override {
    if (no_memory) throw Error(ErrorCode::kOutOfMemory, "no memory");
    const int32_t id = fresh_id(pages_);
    pages_[id].fill(0xDEAD);  // as memory that was somebody else's
    return id;
  }
  void free_page(plan::PageId id) noexcept override { EXPECT_EQ(pages_.erase(id), 1u); }
  void copy_page(plan::PageId to, plan::PageId from) override { pages_.at(to) = pages_.at(from); }
  plan::Contents page_contents(plan::PageId id) override { return contents_of(pages_.at(id)); }

  uint64_t state_bytes() const override { return state_bytes_; }
  plan::StateId allocate_state() override {
    if (no_memory) throw Error(ErrorCode::kOutOfMemory, "no memory");
    const int32_t id = fresh_id(states_);
    states_[id] = 0;
    return id;
  }
  void free_state(plan::StateId id) noexcept override { EXPECT_EQ(states_.erase(id), 1u); }
  void copy_state(plan::StateId to, plan::StateId from) override { states_.at(to) = states_.at(from); }
  plan::Contents state_contents(plan::StateId id) override { return contents_of(states_.at(id)); }
  static constexpr uint64_t kPageData = sizeof(uint64_t) * plan::kPageTokens, kStateData = sizeof(uint64_t);

  size_t n_pages() const { return pages_.size(); }
  size_t n_states() const { return states_.size(); }

  // As a step does for positions begin to end: everything before must be there, from these tokens.
  void compute(std::span<const TokenId> tokens, int32_t begin, int32_t end,
               std::span<const plan::PageId> table, plan::StateId state) {
    uint64_t hash = 0;
    for (int32_t p = 0; p < end; ++p) {
      if (p == begin && state_bytes_ > 0) ASSERT_EQ(states_.at(state), hash) << "state at " << p;
      hash = next_hash(hash, tokens[p]);
      uint64_t& slot = pages_.at(table[p / plan::kPageTokens])[p % plan::kPageTokens];
      if (p < begin)
        ASSERT_EQ(slot, hash) << "position " << p << " of " << end;
      else
        slot = hash;
    }
    if (state_bytes_ > 0) states_.at(state) = hash;
  }

  bool no_memory = false;

 private:
  template <class Map>
  static int32_t fresh_id(const Map& used) {  // freed ids come again, as in real backends
    int32_t id = 0;
    while (used.count(id)) ++id;
    return id;
  }
  template <class T>
  static plan::Contents contents_of(T& value) {
    return plan::Contents::of({reinterpret_cast<uint8_t*>(&value), sizeof(T)});
  }
  uint64_t page_bytes_, state_bytes_;
  std::map<int32_t, std::array<uint64_t, plan::kPageTokens>> pages_;
  std::map<int32_t, uint64_t> states_;
};

inline std::vector<TokenId> random_tokens(size_t n, unsigned seed, int vocabulary = 1000) {
  std::mt19937 rng(seed);
  std::vector<TokenId> t(n);
  for (TokenId& x : t) x = static_cast<TokenId>(rng() % vocabulary);
  return t;
}

}  // namespace moraine::cache::testing
