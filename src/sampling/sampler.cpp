#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace moraine::sampling {
namespace {

constexpr int32_t kMaxHistory = 1 << 20;
constexpr TokenId kNothingLeft = -1;
constexpr float kBanned = -std::numeric_limits<float>::infinity();

uint64_t mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// The part of the key that does not depend on the token, mixed once for all candidates.
uint64_t key(uint64_t seed, uint32_t choice, int64_t position, Purpose purpose) {
  return mix(
      mix(seed) ^ mix(static_cast<uint64_t>(position) * 2 + 1) ^
      mix((static_cast<uint64_t>(choice) << 32 | static_cast<uint32_t>(purpose)) + 0x5851f42d4c957f2dull));
}

double uniform_from(uint64_t key, TokenId token) {
  const uint64_t bits = mix(key ^ mix(static_cast<uint32_t>(token)));
  return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;  // never 0, never 1
}

// Higher logit first; of equals the lower id, so that an order is an order on every machine.
bool before(float a, TokenId ia, float b, TokenId ib) { return a > b || (a == b && ia < ib); }

bool usable(float v) { return !std::isnan(v); }

// How many logits are looked at together: most blocks of a vocabulary hold nothing that matters.
constexpr size_t kBlock = 256;

// The largest of n logits, -inf where all are NaN. In lanes, so that the compiler may use vectors.
float largest(const float* logits, size_t n) {
  constexpr size_t kLanes = 16;
  float top[kLanes];
  std::fill_n(top, kLanes, kBanned);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t j = 0; j < kLanes; ++j) top[j] = logits[i + j] > top[j] ? logits[i + j] : top[j];
  for (; i < n; ++i) top[0] = logits[i] > top[0] ? logits[i] : top[0];
  for (size_t j = 1; j < kLanes; ++j) top[0] = top[j] > top[0] ? top[j] : top[0];
  return top[0];
}

// The first of the largest logits; 0 where none is above -inf.
size_t greedy(std::span<const float> logits) {
  float best = kBanned;
  size_t begin = 0;
  for (size_t i = 0; i < logits.size(); i += kBlock) {
    const float top = largest(logits.data() + i, std::min(kBlock, logits.size() - i));
    if (top > best) best = top, begin = i;
  }
  if (best == kBanned) return 0;
  while (logits[begin] != best) ++begin;
  return begin;
}

}  // namespace

double uniform(uint64_t seed, uint32_t choice, int64_t position, Purpose purpose, TokenId token) noexcept {
  return uniform_from(key(seed, choice, position, purpose), token);
}

Sampler::Sampler(SamplingParams params, uint32_t choice, std::span<const TokenId> end_of_generation)
    : params_(std::move(params)),
      choice_(choice),
      end_of_generation_(end_of_generation.begin(), end_of_generation.end()) {
  if (!usable(params_.temperature)) params_.temperature = SamplingParams{}.temperature;
  if (!usable(params_.repeat_penalty) || params_.repeat_penalty <= 0) params_.repeat_penalty = 1.0f;
  if (!usable(params_.presence_penalty)) params_.presence_penalty = 0.0f;
  if (!usable(params_.frequency_penalty)) params_.frequency_penalty = 0.0f;
  if (params_.repeat_last_n < 0 || params_.repeat_last_n > kMaxHistory) params_.repeat_last_n = kMaxHistory;
}

void Sampler::accept(TokenId token) {
  const size_t n = static_cast<size_t>(params_.repeat_last_n);
  if (n == 0) return;
  if (history_.size() < n) {
    history_.push_back(token);
    return;
  }
  history_[history_next_] = token;
  history_next_ = (history_next_ + 1) % n;
}

size_t Sampler::at_least() const { return static_cast<size_t>(std::max(1, params_.min_keep)); }

bool Sampler::penalises() const {
  return params_.repeat_penalty != 1.0f || params_.presence_penalty != 0.0f ||
         params_.frequency_penalty != 0.0f;
}

bool Sampler::changes_logits() const {
  return !params_.logit_bias.empty() || params_.ignore_eos || penalises();
}

void Sampler::apply_penalties() {
  if (!penalises()) return;
  std::vector<TokenId> seen(history_);
  std::sort(seen.begin(), seen.end());
  for (size_t i = 0; i < seen.size();) {
    size_t end = i;
    while (end < seen.size() && seen[end] == seen[i]) ++end;
    if (seen[i] >= 0 && static_cast<size_t>(seen[i]) < logits_.size()) {
      float& l = logits_[seen[i]];
      l = l > 0 ? l / params_.repeat_penalty : l * params_.repeat_penalty;
      l -= static_cast<float>(end - i) * params_.frequency_penalty + params_.presence_penalty;
    }
    i = end;
  }
}

std::span<const float> Sampler::collect(std::span<const float> logits, std::span<const uint32_t> allowed) {
  if (!changes_logits() && allowed.empty()) return logits;
  logits_.assign(logits.begin(), logits.end());
  for (const auto& [id, bias] : params_.logit_bias)
    if (id >= 0 && static_cast<size_t>(id) < logits_.size() && usable(bias)) logits_[id] += bias;
  if (params_.ignore_eos)
    for (TokenId id : end_of_generation_)
      if (id >= 0 && static_cast<size_t>(id) < logits_.size()) logits_[id] = kBanned;
  apply_penalties();
  if (!allowed.empty()) forbid_all_but(allowed);
  return logits_;
}

void Sampler::forbid_all_but(std::span<const uint32_t> allowed) {
  constexpr size_t kBits = 32;
  for (size_t begin = 0, w = 0; begin < logits_.size(); begin += kBits, ++w) {
    const uint32_t word = w < allowed.size() ? allowed[w] : 0;
    if (word == UINT32_MAX) continue;
    const size_t end = std::min(begin + kBits, logits_.size());
    for (size_t i = begin; i < end; ++i)
      if ((word >> (i - begin) & 1) == 0) logits_[i] = kBanned;
  }
}

// Neither a broken model's NaN nor that of infinite parameters (inf - inf) is above kBanned.
void Sampler::keep_top_k(std::span<const float> logits) {
  const auto order = [](const Candidate& a, const Candidate& b) {
    return before(a.logit, a.id, b.logit, b.id);
  };
  candidates_.clear();
  sorted_ = false;
  const size_t k = params_.top_k <= 0 ? logits.size() : std::max<size_t>(params_.top_k, at_least());
  // A heap of the best k; a block whose largest is not above the least of them changes nothing, as of equals
  // the earlier one stays.
  float floor = kBanned;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t end = std::min(begin + kBlock, logits.size());
    if (!(largest(logits.data() + begin, end - begin) > floor)) continue;
    for (size_t i = begin; i < end; ++i) {
      if (!(logits[i] > floor)) continue;
      if (candidates_.size() == k) {
        std::pop_heap(candidates_.begin(), candidates_.end(), order);
        candidates_.pop_back();
      }
      candidates_.push_back({logits[i], static_cast<TokenId>(i)});
      if (k >= logits.size()) continue;  // all of them: no order is needed
      std::push_heap(candidates_.begin(), candidates_.end(), order);
      if (candidates_.size() == k) floor = candidates_.front().logit;
    }
  }
}

void Sampler::sort_candidates() {
  if (sorted_) return;
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return before(a.logit, a.id, b.logit, b.id); });
  sorted_ = true;
}

// Locally typical sampling (Meister et al., arXiv 2202.00666): the tokens whose surprise is nearest to
// the entropy, until their probability reaches typical_p.
void Sampler::keep_typical() {
  if (!(params_.typical_p < 1.0f) || candidates_.empty()) return;
  sort_candidates();
  const double top = candidates_.front().logit;
  double sum = 0;
  for (const Candidate& c : candidates_) sum += std::exp(c.logit - top);
  const double log_z = top + std::log(sum);
  double entropy = 0;
  for (const Candidate& c : candidates_) entropy += std::exp(c.logit - log_z) * (log_z - c.logit);
  std::stable_sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
    return std::fabs(log_z - a.logit - entropy) < std::fabs(log_z - b.logit - entropy);
  });
  double reached = 0;
  size_t n = 0;
  while (n < candidates_.size() && (n < at_least() || reached <= params_.typical_p))
    reached += std::exp(candidates_[n++].logit - log_z);
  candidates_.resize(n);
  sorted_ = false;
}

void Sampler::keep_top_p() {
  if (!(params_.top_p < 1.0f) || candidates_.empty()) return;
  sort_candidates();
  const double top = candidates_.front().logit;
  double sum = 0;
  for (const Candidate& c : candidates_) sum += std::exp(c.logit - top);
  double reached = 0;
  size_t n = 0;
  while (n < candidates_.size() && (n < at_least() || reached < params_.top_p * sum))
    reached += std::exp(candidates_[n++].logit - top);
  candidates_.resize(n);
}

void Sampler::keep_min_p() {
  if (!(params_.min_p > 0.0f) || candidates_.empty()) return;
  float top = kBanned;
  for (const Candidate& c : candidates_) top = std::max(top, c.logit);
  const float floor = top + std::log(std::min(params_.min_p, 1.0f));
  const auto few = [&] { return candidates_.size() <= at_least(); };
  if (few()) return;
  const auto unlikely = [&](const Candidate& c) { return c.logit < floor; };
  if (static_cast<size_t>(std::count_if(candidates_.begin(), candidates_.end(), std::not_fn(unlikely))) >=
      at_least()) {
    std::erase_if(candidates_, unlikely);
  } else {
    sort_candidates();
    candidates_.resize(at_least());
  }
}

TokenId Sampler::draw(int64_t position) const {
  const uint64_t k = key(params_.seed, choice_, position, Purpose::kToken);
  TokenId best = candidates_.front().id;
  double best_score = -std::numeric_limits<double>::infinity();
  for (const Candidate& c : candidates_) {
    const double gumbel = -std::log(-std::log(uniform_from(k, c.id)));
    const double score = static_cast<double>(c.logit) / params_.temperature + gumbel;
    if (score > best_score || (score == best_score && c.id < best)) best = c.id, best_score = score;
  }
  return best;
}

TokenId Sampler::sample(std::span<const float> given, int64_t position, std::span<const uint32_t> allowed) {
  const std::span<const float> logits = collect(given, allowed);
  if (params_.temperature <= 0.0f) {
    const size_t best = greedy(logits);
    return !allowed.empty() && logits[best] == kBanned ? kNothingLeft : static_cast<TokenId>(best);
  }
  keep_top_k(logits);
  if (candidates_.empty()) return allowed.empty() ? 0 : kNothingLeft;  // the request asked for it
  keep_typical();
  keep_top_p();
  keep_min_p();
  return draw(position);
}

double log_sum_exp(std::span<const float> logits) noexcept {
  float top = kBanned;
  for (float l : logits) top = l > top ? l : top;
  if (top == kBanned) return kBanned;
  double sum = 0;
  for (float l : logits)
    if (!std::isnan(l)) sum += std::exp(static_cast<double>(l) - top);
  return top + std::log(sum);
}

std::vector<std::pair<TokenId, float>> top_log_probs(std::span<const float> logits, int32_t n) {
  const double log_z = log_sum_exp(logits);
  std::vector<TokenId> ids(logits.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
  const size_t k = std::min<size_t>(std::max(0, n), ids.size());
  const auto value = [&](TokenId i) { return std::isnan(logits[i]) ? kBanned : logits[i]; };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(k), ids.end(),
                    [&](TokenId a, TokenId b) { return before(value(a), a, value(b), b); });
  std::vector<std::pair<TokenId, float>> out;
  for (size_t i = 0; i < k; ++i) out.emplace_back(ids[i], static_cast<float>(value(ids[i]) - log_z));
  return out;
}

}  // namespace moraine::sampling
