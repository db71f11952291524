// Draws the next token of one generation: llama-server's chain in its default order (logit bias,
// penalties, what a constraint forbids, top-k, typical, top-p, min-p, temperature), then the draw. Greedy
// where temperature <= 0.
//
// The draw is Gumbel-max: argmax over candidates of logit/T + g(seed, choice, position, purpose, token).
// Its distribution is exactly the softmax, it needs no order of the candidates, and a drafter that uses
// the same noise at the same position tends to draw the same token. Every draw is a pure function of
// its key: how the tokens before it were computed, or in which batch, cannot matter.
#pragma once

#include <moraine/sampling.h>

#include <span>
#include <vector>

namespace moraine::sampling {

enum class Purpose : uint32_t { kToken = 0 };

// Uniform in (0, 1), a function of its arguments alone (SplitMix64's finaliser over the key).
double uniform(uint64_t seed, uint32_t choice, int64_t position, Purpose purpose, TokenId token) noexcept;

class Sampler {
 public:
  // end_of_generation: banned by ignore_eos. NaN or senseless parameters are treated as off.
  Sampler(SamplingParams params, uint32_t choice, std::span<const TokenId> end_of_generation);

  // One that draws what this one would, for tokens that are only guessed: its work memory is its own.
  Sampler fork() const { return Sampler(params_, choice_, end_of_generation_, history_, history_next_); }

  // Tokens that penalties look back on: the prompt first, then each drawn token, in order.
  void accept(TokenId token);

  // logits [n_vocab] are not changed. position: of the token being drawn, in its sequence. allowed: one bit
  // for each token (TokenConstraint::allowed); empty: all. kNoToken (-1) where none of them is left.
  TokenId sample(std::span<const float> logits, int64_t position, std::span<const uint32_t> allowed = {});

 private:
  Sampler(const SamplingParams& params, uint32_t choice, const std::vector<TokenId>& end_of_generation,
          const std::vector<TokenId>& history, size_t history_next)
      : params_(params),
        choice_(choice),
        end_of_generation_(end_of_generation),
        history_(history),
        history_next_(history_next) {}
  struct Candidate {
    float logit;
    TokenId id;
  };
  // The logits to draw from: those given, or logits_ where the request changes any.
  std::span<const float> collect(std::span<const float> logits, std::span<const uint32_t> allowed);
  bool changes_logits() const;
  bool penalises() const;
  void apply_penalties();
  void forbid_all_but(std::span<const uint32_t> allowed);
  void keep_top_k(std::span<const float> logits);
  void keep_typical();
  void keep_top_p();
  void keep_min_p();
  void sort_candidates();
  TokenId draw(int64_t position) const;
  size_t at_least() const;

  SamplingParams params_;
  uint32_t choice_;
  std::vector<TokenId> end_of_generation_;
  std::vector<TokenId> history_;  // the last repeat_last_n, as a ring
  size_t history_next_ = 0;
  std::vector<float> logits_;  // with bias, penalties and what is forbidden
  std::vector<Candidate> candidates_;
  bool sorted_ = false;
};

// The natural log of sum(exp(logits)).
double log_sum_exp(std::span<const float> logits) noexcept;

// The n highest logits as log-probabilities, highest first, lower id first on a tie.
std::vector<std::pair<TokenId, float>> top_log_probs(std::span<const float> logits, int32_t n);

}  // namespace moraine::sampling
