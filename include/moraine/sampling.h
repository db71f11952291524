// How the next token is drawn from the logits: the parameters of a request. Defaults are
// llama-server's. The chain that applies them is src/sampling/.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace moraine {

using TokenId = int32_t;

struct SamplingParams {
  float temperature = 0.8f;  // <= 0: greedy, the token of the highest logit, lowest id on a tie
  int32_t top_k = 40;        // <= 0: off
  float top_p = 0.95f;       // >= 1: off
  float min_p = 0.05f;       // <= 0: off
  float typical_p = 1.0f;    // >= 1: off
  int32_t min_keep = 1;      // no filter leaves fewer candidates
  float repeat_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int32_t repeat_last_n = 64;  // tokens that penalties look back on; -1: the context, 0: none
  std::vector<std::pair<TokenId, float>> logit_bias;  // added to the logit; -infinity bans
  bool ignore_eos = false;                            // end-of-generation tokens are never drawn
  uint64_t seed = 0;  // draws are a function of (seed, choice, position, purpose) alone
};

}  // namespace moraine
