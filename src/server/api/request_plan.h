// What all generating endpoints read alike from a request: prompts, limits, choices, stop strings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/answer.h"
#include "server/api/context.h"
#include "server/api/fields.h"

namespace moraine::server {

struct RequestPlan {
  Plan plan;
  SamplingChoice sampling;  // what the request, flags, file and defaults come to
  GenerationRequest base;   // each generation, but for its prompt and choice
  int32_t n = 1;            // choices for each prompt
};

// How an endpoint asks for log-probabilities: fewest < 0 is none.
struct PlanOptions {
  int32_t n_probs = -1;
  bool keep_tokens = false;
};

// Whose prompts and answers this request may meet again: GenerationRequest::cache_scope.
uint64_t cache_scope(const Call& call);

// Settles everything but the prompts from `body`. Throws ApiError 400.
RequestPlan request_plan(const Call& call, const Fields& body, const PlanOptions& options);
// Adds the generations of one prompt: n choices. An empty prompt becomes the model's bos token;
// throws ApiError 400 where it has none, and for a prompt that leaves no room in the context.
void add_prompt(const Call& call, RequestPlan& plan, std::vector<TokenId> prompt);

// The prompts of a completion request: a string, token ids, a mixture of both in one array, or an array of
// such prompts. Special tokens in strings are read as such.
std::vector<std::vector<TokenId>> prompts_from(const Call& call, const Fields& body, const char* name);

// Token ids that a client sent. Throws ApiError 400 naming `name`.
TokenId token_from(const Json& value, const Tokenizer& tokenizer, const std::string& name);

}  // namespace moraine::server
