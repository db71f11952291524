#include "engine/sequence.h"

#include <algorithm>

namespace moraine::engine {
namespace {

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
      capacity_(max_tokens_ < 0
                    ? n_ctx
                    : static_cast<int32_t>(std::min<int64_t>(n_ctx, int64_t{n_prompt_} + max_tokens_))),
      sampler_(request_.sampling, request_.choice, tokenizer.end_of_generation()),
      tokens_(std::move(request_.prompt)),
      queued_at_(Clock::now()) {
  tokens_.reserve(capacity_ + 1);
  for (TokenId t : tokens_) sampler_.accept(t);
  stats_.n_prompt = n_prompt_;
}

void Sequence::admit(cache::MemoryPool& pool) {
  memory_ = std::make_unique<cache::SequenceMemory>(pool, capacity_);
  admitted_at_ = Clock::now();
  stats_.queued_ms = ms_between(queued_at_, admitted_at_);
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

std::optional<FinishReason> Sequence::advance(int32_t n, std::span<const float> logits) {
  const bool draws = wants_logits_after(n);
  const bool was_prefilling = prefilling();
  computed_ += n;
  if (was_prefilling) sink_->on_prompt_progress(std::min(computed_, n_prompt_), n_prompt_);
  if (was_prefilling) {
    first_token_at_ = Clock::now();
    stats_.prompt_ms = ms_between(admitted_at_, first_token_at_);
  }
  if (!draws) {
    if (pending() > 0) return std::nullopt;
    return FinishReason::kLength;  // nothing but the prompt was asked for
  }
  const TokenId token = sampler_.sample(logits, static_cast<int64_t>(tokens_.size()));
  sampler_.accept(token);
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

void Sequence::finish(FinishReason reason) noexcept { sink_->on_finish(reason, stats_); }
void Sequence::fail(const Error& error) noexcept { sink_->on_error(error); }

}  // namespace moraine::engine
