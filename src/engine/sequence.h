// One generation on the engine: its timeline of tokens, its pages, its sampler, and how it ends.
// Lives on the engine's thread from admission to its last event; cancel() alone comes from elsewhere.
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "cache/timeline.h"
#include "sampling/sampler.h"
#include "speculation/drafter.h"

namespace moraine::engine {

using Clock = std::chrono::steady_clock;

class Sequence final : public Generation {
 public:
  Sequence(GenerationRequest request, std::shared_ptr<GenerationSink> sink, const Tokenizer& tokenizer,
           int32_t n_ctx);

  void cancel() noexcept override { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

  uint64_t group() const { return request_.group; }
  int32_t wanted_slot() const { return request_.slot; }
  int32_t slot = -1;  // the place it runs in
  cache::PrefixTree::Scope scope() const { return request_.cache_scope; }
  std::span<const TokenId> tokens() const { return tokens_; }
  // Memory that its tokens so far and a little more will take beyond what it has. Bytes.
  uint64_t bytes_to_come(const cache::MemoryPool& pool) const;
  // Begins where the cache leaves off. False: there is no memory for it now. Throws Error{kDeviceLost}.
  bool admit(cache::MemoryPool& pool, cache::PrefixTree& tree);
  // Before admission: whether what the disk knows of it is in memory, or not worth reading.
  bool looked_on_disk() const { return looked_on_disk_; }
  void set_looked_on_disk(int32_t n_restored) {
    looked_on_disk_ = true;
    n_restored_ += n_restored;
  }
  bool waits_for_disk = false;  // in this look at those who wait

  // Gives its memory up to wait for more; what it computed stays in the tree while there is room.
  void suspend();

  // Another one shares its first `at` tokens and waits for them: a state is kept there too.
  void keep_for_company(int32_t at);

  // What remains to be computed before the next token can be drawn; 1 while decoding.
  int32_t pending() const { return static_cast<int32_t>(tokens_.size()) - computed_; }
  // Up to where the next slice may go: states are kept at message boundaries and now and then between.
  int32_t next_stop() const;
  // Of the timeline, and behind it of the draft.
  TokenId token(int32_t position) const {
    const auto n = static_cast<int32_t>(tokens_.size());
    return position < n ? tokens_[position] : draft_.tokens[position - n];
  }
  int32_t computed() const { return computed_; }
  std::span<const plan::PageId> pages() const { return timeline_->pages(); }
  plan::StateId state() const { return timeline_->state(); }
  // Room for n more rows. False: there is no memory now. Throws Error{kDeviceLost}.
  bool prepare_rows(int32_t n) { return timeline_->grow_to(computed_ + n); }

  // Guesses at the tokens after the next one, verified with it in one step. While decoding.
  int32_t draft_room(int32_t most) const;  // tokens a draft may have: what is left to generate and to hold
  speculation::Draft& draft() { return draft_; }
  speculation::NgramIndex& earlier() { return earlier_; }
  const sampling::Sampler& sampler() const { return sampler_; }
  TokenConstraint* constraint() { return constraint_.get(); }  // null: any token may follow
  bool ends_with(TokenId token) const { return tokenizer_.is_end_of_generation(token); }

  // Rows of logits, `stride` floats apart, each of n_vocab.
  struct Logits {
    const float* data;
    int64_t stride;
    int32_t n_vocab;
  };
  struct Advance {
    int32_t accepted = 0;  // drafted tokens that held
    std::optional<FinishReason> end;
  };
  // n rows were computed, the draft's among them. Where they were the last pending ones and a token is to be
  // drawn, draws it from the first row of `logits`, and while the draft holds from the next. What was
  // accepted is told even if this throws.
  void advance(int32_t n, const Logits& logits, Advance& result);
  // After advance(), when it goes on: what was computed joins the tree, and the state where it is wanted.
  // Not before the token is out: a large state takes some milliseconds to copy.
  void settle();
  bool wants_logits_after(int32_t n) const { return n == pending() && max_tokens_ != 0; }

  // Before the last event: whoever holds the handle must not hold the memory. What was computed is left
  // to the cache, unless it may be wrong.
  void leave(bool keep) noexcept;
  void finish(FinishReason reason) noexcept;
  void fail(const Error& error) noexcept;
  const GenerationStats& stats() const { return stats_; }
  std::span<const TokenId> output() const { return tokens().subspan(n_prompt_); }

 private:
  std::span<const TokenId> computed_tokens() const {
    return {tokens_.data(), static_cast<size_t>(computed_)};
  }
  int32_t stop_after(int32_t position) const;
  bool emit(TokenId token, std::span<const float> logits);
  std::optional<FinishReason> draw(std::span<const float> logits);

  GenerationRequest request_;
  std::shared_ptr<GenerationSink> sink_;
  const Tokenizer& tokenizer_;
  int32_t n_ctx_, n_prompt_, max_tokens_;
  sampling::Sampler sampler_;
  std::unique_ptr<TokenConstraint> constraint_;  // null: any token may follow
  speculation::Draft draft_;                     // of the step under way
  speculation::NgramIndex earlier_;              // tokens_, as far as somebody looked there
  std::vector<TokenId> tokens_;                  // prompt and drawn tokens: the timeline
  int32_t computed_ = 0;                         // of tokens_, those whose keys and values lie in the pages
  std::unique_ptr<cache::Timeline> timeline_;
  bool recurrent_ = false;  // the model has states to keep
  bool suspended_ = false;
  bool looked_on_disk_ = false;
  int32_t n_restored_ = 0;
  std::atomic<bool> cancelled_{false};
  GenerationStats stats_;
  Clock::time_point queued_at_, admitted_at_, first_token_at_;
};

}  // namespace moraine::engine
