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

#include "cache/sequence_memory.h"
#include "sampling/sampler.h"

namespace moraine::engine {

using Clock = std::chrono::steady_clock;

class Sequence final : public Generation {
 public:
  Sequence(GenerationRequest request, std::shared_ptr<GenerationSink> sink, const Tokenizer& tokenizer,
           int32_t n_ctx);

  void cancel() noexcept override { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

  // Tokens this sequence can come to hold: what its pages are reserved for.
  int32_t capacity() const { return capacity_; }
  uint64_t group() const { return request_.group; }
  void admit(cache::MemoryPool& pool);  // reserved before; throws Error{kOutOfMemory}

  // What remains to be computed before the next token can be drawn; 1 while decoding.
  int32_t pending() const { return static_cast<int32_t>(tokens_.size()) - computed_; }
  bool prefilling() const { return computed_ < n_prompt_; }
  TokenId token(int32_t position) const { return tokens_[position]; }
  int32_t computed() const { return computed_; }
  std::span<const plan::PageId> pages() const { return memory_->pages(); }
  plan::StateId state() const { return memory_->state(); }
  void prepare_rows(int32_t n) { memory_->grow_to(computed_ + n); }  // throws Error{kOutOfMemory}

  // n rows were computed. Where they were the last pending ones and a token is to be drawn from
  // `logits` (their last row's), draws it. Returns how the sequence ended, if it did.
  std::optional<FinishReason> advance(int32_t n, std::span<const float> logits);
  bool wants_logits_after(int32_t n) const { return n == pending() && max_tokens_ != 0; }

  // Before the last event: whoever holds the handle must not hold the memory.
  void release_memory() noexcept { memory_.reset(); }
  void finish(FinishReason reason) noexcept;
  void fail(const Error& error) noexcept;
  const GenerationStats& stats() const { return stats_; }

 private:
  bool emit(TokenId token, std::span<const float> logits);

  GenerationRequest request_;
  std::shared_ptr<GenerationSink> sink_;
  const Tokenizer& tokenizer_;
  int32_t n_ctx_, n_prompt_, max_tokens_, capacity_;
  sampling::Sampler sampler_;
  std::vector<TokenId> tokens_;  // prompt and drawn tokens: the timeline
  int32_t computed_ = 0;         // of tokens_, those whose keys and values lie in the pages
  std::unique_ptr<cache::SequenceMemory> memory_;
  std::atomic<bool> cancelled_{false};
  GenerationStats stats_;
  Clock::time_point queued_at_, admitted_at_, first_token_at_;
};

}  // namespace moraine::engine
