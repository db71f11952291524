// Test support: requests to a whole engine, and to the bit what they were answered.
#pragma once

#include <gtest/gtest.h>
#include <moraine/engine.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "collector.h"

namespace moraine::testing {

using Tokens = std::vector<TokenId>;

// Of a generation; the long runs of make test-all ask for more.
inline int tokens_to_generate() {
  const char* n = std::getenv("MORAINE_TEST_TOKENS");
  return n ? std::atoi(n) : 300;
}

inline Tokens random_tokens(int n, unsigned seed) {
  std::mt19937 rng(seed);
  Tokens t(n);
  for (TokenId& x : t) x = 10 + static_cast<TokenId>(rng() % 200);
  return t;
}

inline GenerationRequest sampled(Tokens prompt, int max_tokens, uint64_t seed) {
  GenerationRequest r = greedy(std::move(prompt), max_tokens);
  r.sampling.temperature = 1.0f;
  r.sampling.top_k = 40;
  r.sampling.top_p = 0.95f;
  r.sampling.repeat_penalty = 1.05f;
  r.sampling.seed = seed;
  return r;
}

// What one generation said: tokens and, to the bit, how likely the model took them to be.
struct Said {
  Tokens tokens;
  std::vector<float> logprobs;
  GenerationStats stats;
  bool operator==(const Said& o) const { return tokens == o.tokens && logprobs == o.logprobs; }
};

inline std::vector<Said> run_all(Engine& e, std::vector<GenerationRequest> requests) {
  std::vector<std::shared_ptr<Collector>> sinks;
  for (GenerationRequest& r : requests) {
    r.n_probs = 0;
    sinks.push_back(std::make_shared<Collector>());
    e.generate(std::move(r), sinks.back());
  }
  std::vector<Said> said;
  for (const auto& c : sinks) {
    EXPECT_TRUE(c->wait());
    EXPECT_FALSE(c->error);
    Said s{c->tokens, {}, c->stats};
    for (const TokenEvent& event : c->events) s.logprobs.push_back(event.logprob);
    said.push_back(std::move(s));
  }
  return said;
}

}  // namespace moraine::testing
