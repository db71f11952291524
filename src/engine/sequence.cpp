#include "engine/sequence.h"

#include <algorithm>
#include <utility>

namespace moraine::engine {
namespace {

constexpr int32_t kCheckpointTokens = 4096;  // most that is computed again for want of a state
constexpr int32_t kNearTokens = 64;    // a message that begins so close to the prompt's end will do for it
constexpr int32_t kApartTokens = 256;  // less between two messages is not worth a state of its own

double ms_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double, std::milli>(b - a).count();
}

}  // namespace

Sequence::Sequence(GenerationRequest request, std::shared_ptr<GenerationSink> sink,
                   const Tokenizer& tokenizer, int32_t n_ctx)
    : request_(std::move(request)),
      sink_(std::move(sink)),
      tokenizer_(tokenizer),
      n_ctx_(n_ctx),
      n_prompt_(static_cast<int32_t>(request_.prompt.size())),
      max_tokens_(request_.max_tokens),
      sampler_(request_.sampling, request_.choice, tokenizer.end_of_generation()),
      constraint_(request_.constraint ? request_.constraint() : nullptr),
      tokens_(std::move(request_.prompt)),
      queued_at_(Clock::now()) {
  // The last one always: there the next turn goes on where a template drops what the model thought.
  auto& b = request_.boundaries;
  std::sort(b.begin(), b.end());
  int32_t kept = 0;
  std::erase_if(b, [&, last = b.empty() ? 0 : b.back()](int32_t at) {
    if (at != last && at - kept < kApartTokens) return true;
    kept = at;
    return false;
  });
  for (TokenId t : tokens_) sampler_.accept(t);
  stats_.n_prompt = n_prompt_;
  looked_on_disk_ = !request_.reuse;
}

uint64_t Sequence::bytes_to_come(const cache::MemoryPool& pool) const {
  const auto want = cache::pages_for(static_cast<int32_t>(tokens_.size()) + plan::kPageTokens);
  const auto have = timeline_ ? static_cast<int32_t>(timeline_->pages().size()) : 0;
  return std::max(0, want - have) * pool.page_bytes() + (timeline_ ? 0 : pool.state_bytes());
}

bool Sequence::admit(cache::MemoryPool& pool, cache::PrefixTree& tree) {
  recurrent_ = pool.state_bytes() > 0;
  timeline_ = std::make_unique<cache::Timeline>(pool, tree, request_.cache_scope);
  const int32_t n = timeline_->begin(tokens_, request_.reuse || suspended_);
  if (n < 0) {
    timeline_.reset();
    return false;
  }
  computed_ = n;
  // Where prompts part others will come back to: to a system prompt that many messages follow.
  if (const int32_t fork = timeline_->n_common();
      fork - n >= kNearTokens && n_prompt_ - fork >= kNearTokens) {
    auto& b = request_.boundaries;
    b.insert(std::upper_bound(b.begin(), b.end(), fork), fork);
  }
  if (suspended_) return true;  // it goes on
  stats_.n_cached = n;
  stats_.n_restored = std::min(n, n_restored_);
  stats_.n_known = timeline_->n_common();
  stats_.known_next = timeline_->known_next();
  admitted_at_ = Clock::now();
  stats_.queued_ms = ms_between(queued_at_, admitted_at_);
  return true;
}

void Sequence::keep_for_company(int32_t at) {
  auto& b = request_.boundaries;
  const auto place = std::lower_bound(b.begin(), b.end(), at);
  if (at <= computed_ || n_prompt_ - at < kNearTokens || (place != b.end() && *place - at < kNearTokens) ||
      (place != b.begin() && at - *std::prev(place) < kNearTokens))
    return;
  b.insert(place, at);
}

void Sequence::suspend() {
  leave(true);
  computed_ = 0;
  suspended_ = true;
  looked_on_disk_ = false;
}

void Sequence::leave(bool keep) noexcept {
  try {
    if (timeline_ && keep) timeline_->finish(computed_tokens());
  } catch (const std::exception&) {  // no memory for the tree's own lists: it goes without
  }
  timeline_.reset();
}

// The first place after `position` whose state is worth keeping.
int32_t Sequence::stop_after(int32_t position) const {
  int32_t stop = (position / kCheckpointTokens + 1) * kCheckpointTokens;
  const auto& b = request_.boundaries;
  if (const auto next = std::upper_bound(b.begin(), b.end(), position); next != b.end())
    stop = std::min(stop, *next);
  if (position >= n_prompt_) return stop;
  // The prompt's end, where the next turn goes on; and before its last token, which is always computed: there
  // the same prompt begins when it is sent again. Unless a message the model is to write begins just before.
  const bool near = !b.empty() && b.back() < n_prompt_ && n_prompt_ - b.back() < kNearTokens;
  return std::min(stop, position < n_prompt_ - 1 && !near ? n_prompt_ - 1 : n_prompt_);
}

int32_t Sequence::next_stop() const { return recurrent_ ? stop_after(computed_) : INT32_MAX; }

void Sequence::settle() {
  timeline_->commit(computed_tokens());
  if (recurrent_ && computed_ > 0 && stop_after(computed_ - 1) == computed_)
    timeline_->checkpoint(computed_tokens());
}

bool Sequence::emit(TokenId token, std::span<const float> logits) {
  TokenEvent event;
  event.id = token;
  event.end_of_generation = tokenizer_.is_end_of_generation(token);
  if (request_.n_probs >= 0) {
    event.logprob = static_cast<float>(logits[token] - sampling::log_sum_exp(logits));
    for (const auto& [id, p] : sampling::top_log_probs(logits, request_.n_probs))
      event.top.push_back({id, p});
  }
  sink_->on_token(event);
  return event.end_of_generation;
}

int32_t Sequence::draft_room(int32_t most) const {
  const auto n = static_cast<int32_t>(tokens_.size());
  if (request_.max_draft >= 0) most = std::min(most, request_.max_draft);
  if (max_tokens_ >= 0) most = std::min(most, max_tokens_ - stats_.n_generated - 1);
  most = std::min(most, n_ctx_ - n - 1);
  return std::max(0, std::min(most, next_stop() - computed_ - 1));  // a state is kept where it stands still
}

// The next token from one row of logits.
std::optional<FinishReason> Sequence::draw(std::span<const float> logits) {
  std::span<const uint32_t> allowed;
  if (constraint_) allowed = constraint_->allowed();
  const TokenId token = sampler_.sample(logits, static_cast<int64_t>(tokens_.size()), allowed);
  if (token == kNoToken) return FinishReason::kStop;  // nothing can follow
  sampler_.accept(token);
  if (constraint_) constraint_->accept(token);
  tokens_.push_back(token);
  ++stats_.n_generated;
  stats_.generated_ms = ms_between(first_token_at_, Clock::now());
  if (emit(token, logits)) return FinishReason::kStop;
  if (stats_.n_generated == max_tokens_ || static_cast<int32_t>(tokens_.size()) >= n_ctx_) {
    stats_.context_full = stats_.n_generated != max_tokens_;
    return FinishReason::kLength;
  }
  return std::nullopt;
}

void Sequence::advance(int32_t n, const Logits& logits, Advance& result) {
  const std::vector<TokenId> draft = std::exchange(draft_.tokens, {});
  const auto n_drafted = static_cast<int32_t>(draft.size());
  n -= n_drafted;
  const bool draws = wants_logits_after(n);
  const bool was_prefilling = stats_.n_generated == 0;
  computed_ += n;
  stats_.n_drafted += n_drafted;
  if (was_prefilling) {
    sink_->on_prompt_progress(std::min(computed_, n_prompt_), n_prompt_, stats_.n_cached);
    first_token_at_ = Clock::now();
    stats_.prompt_ms = ms_between(admitted_at_, first_token_at_);
  }
  if (!draws) {
    if (pending() == 0) result.end = FinishReason::kLength;  // nothing but the prompt was asked for
    return;
  }
  for (int32_t i = 0;; ++i) {
    const auto row = std::span(logits.data + i * logits.stride, static_cast<size_t>(logits.n_vocab));
    if ((result.end = draw(row)) || i == n_drafted || tokens_.back() != draft[i] || cancelled()) return;
    // It was computed in this step: the next token's logits are there.
    ++computed_, ++stats_.n_accepted, ++result.accepted;
  }
}

void Sequence::finish(FinishReason reason) noexcept {
  constraint_.reset();  // whoever holds the handle need not hold its grammar
  sink_->on_finish(reason, stats_);
}

void Sequence::fail(const Error& error) noexcept {
  constraint_.reset();
  sink_->on_error(error);
}

}  // namespace moraine::engine
