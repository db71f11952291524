#include "server/api/request_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/api/auth.h"
#include "server/api/errors.h"

namespace moraine::server {
namespace {

constexpr std::size_t kMaxStops = 256;
constexpr std::size_t kMaxStopBytes = 64 << 10;
constexpr std::size_t kMaxPrompts = 256;
constexpr int64_t kMaxInt = INT32_MAX;

std::vector<std::string> stops_from(const Fields& body) {
  std::vector<std::string> stops = body.strings("stop");
  std::size_t bytes = 0;
  for (const std::string& stop : stops) bytes += stop.size();
  if (stops.size() > kMaxStops || bytes > kMaxStopBytes) {
    throw bad_request(body.path("stop"), fmt::format("'stop' may hold {} strings of together {} bytes.",
                                                     kMaxStops, kMaxStopBytes));
  }
  return stops;
}

// OpenAI's two names and llama-server's; -1 and -2 are llama-server's "no limit".
int32_t max_tokens_from(const Fields& body, int32_t otherwise) {
  for (const char* name : {"max_completion_tokens", "max_tokens", "n_predict"}) {
    // A limit beyond any context is no limit; clients send 2^31 and more.
    if (const auto value = body.integer(name, -2)) return static_cast<int32_t>(std::min(*value, kMaxInt));
  }
  return otherwise;
}

std::vector<TokenId> prompt_from(const Call& call, const Json& value, const std::string& name) {
  const Tokenizer& tokenizer = *call.model->tokenizer;
  const auto encode = [&](const Json& text, bool add_special) {
    return tokenizer.encode(text.get_ref<const std::string&>(),
                            {.add_special = add_special, .parse_special = true});
  };
  if (value.is_string()) return encode(value, true);
  if (value.is_object() &&
      value.contains("prompt_string")) {  // llama-server's form for media; the text alone
    if (!value["prompt_string"].is_string())
      throw bad_request(name, fmt::format("'{}.prompt_string' must be a string.", name));
    return encode(value["prompt_string"], true);
  }
  if (!value.is_array()) {
    throw bad_request(
        name,
        fmt::format("'{}' must be a string, an array of token ids, or an array of such prompts, not {}.",
                    name, kind_of(value)));
  }
  std::vector<TokenId> tokens;
  bool first = true;
  for (const Json& item : value) {
    if (item.is_string()) {
      const auto piece = encode(item, first);
      tokens.insert(tokens.end(), piece.begin(), piece.end());
    } else {
      tokens.push_back(token_from(item, tokenizer, name));
    }
    first = false;
  }
  return tokens;
}

// Where messages begin: at a control token that follows text, or the end of a turn.
std::vector<int32_t> message_boundaries(std::span<const TokenId> prompt, const Tokenizer& tokenizer) {
  std::vector<int32_t> boundaries;
  for (size_t i = 1; i < prompt.size(); ++i) {
    const bool begins = tokenizer.is_control(prompt[i]) && !tokenizer.is_end_of_generation(prompt[i]);
    const bool after = !tokenizer.is_control(prompt[i - 1]) || tokenizer.is_end_of_generation(prompt[i - 1]);
    if (begins && after) boundaries.push_back(static_cast<int32_t>(i));
  }
  return boundaries;
}

}  // namespace

TokenId token_from(const Json& value, const Tokenizer& tokenizer, const std::string& name) {
  if (!value.is_number_integer()) {
    throw bad_request(name, fmt::format("'{}' must hold token ids, not {}.", name, kind_of(value)));
  }
  const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= static_cast<uint64_t>(kMaxInt)
                                               : value.get<int64_t>() >= 0;
  if (!fits || !tokenizer.contains(static_cast<TokenId>(value.get<int64_t>()))) {
    throw bad_request(name, fmt::format("'{}' holds token {}, but this model's tokens are 0 to {}.", name,
                                        dump(value), tokenizer.size() - 1));
  }
  return static_cast<TokenId>(value.get<int64_t>());
}

std::vector<std::vector<TokenId>> prompts_from(const Call& call, const Fields& body, const char* name) {
  const Json* value = body.find(name);
  if (value == nullptr) throw bad_request(body.path(name), fmt::format("'{}' is missing.", body.path(name)));
  const bool several =
      value->is_array() && !value->empty() &&
      std::none_of(value->begin(), value->end(), [](const Json& v) { return v.is_number(); });
  std::vector<std::vector<TokenId>> prompts;
  if (!several) {
    prompts.push_back(prompt_from(call, *value, body.path(name)));
    return prompts;
  }
  if (value->size() > kMaxPrompts) {
    throw bad_request(body.path(name),
                      fmt::format("'{}' may hold at most {} prompts.", body.path(name), kMaxPrompts));
  }
  for (const Json& item : *value) prompts.push_back(prompt_from(call, item, body.path(name)));
  return prompts;
}

uint64_t cache_scope(const Call& call) {
  return call.options->cache_scope == CacheScope::kKey ? key_scope(call.request(), call.options->api_keys)
                                                       : 0;
}

RequestPlan request_plan(const Call& call, const Fields& body, const PlanOptions& options) {
  RequestPlan result;
  body.string("model");  // any name is served, but it must be one
  result.sampling = sampling_from(body, call.model->sampling, *call.model->tokenizer, *call.log);
  result.plan.stops = stops_from(body);
  result.plan.stream = body.boolean("stream").value_or(false);
  result.plan.keep_tokens = options.keep_tokens || options.n_probs >= 0;
  const int64_t most = std::max(call.options->max_choices, 1);
  result.n =
      static_cast<int32_t>(body.integer("n", 1, most).value_or(body.integer("n_cmpl", 1, most).value_or(1)));

  result.base.sampling = result.sampling.params;
  result.base.max_tokens = max_tokens_from(body, call.options->n_predict);
  result.base.n_probs = options.n_probs;
  result.base.reuse = body.boolean("cache_prompt").value_or(call.options->cache_prompt);
  result.base.cache_scope = cache_scope(call);
  result.base.max_draft = static_cast<int32_t>(body.integer("speculative.n_max", -1, INT32_MAX).value_or(-1));
  result.base.slot = static_cast<int32_t>(body.integer("id_slot", -1, INT32_MAX).value_or(-1));
  return result;
}

void add_prompt(const Call& call, RequestPlan& plan, std::vector<TokenId> prompt) {
  if (prompt.empty()) {
    const TokenId bos = call.model->tokenizer->special().bos;
    if (bos == kNoToken)
      throw bad_request("prompt", "The prompt is empty, and this model has no token to begin with.");
    prompt.push_back(bos);
  }
  // Before a copy for each choice: 128 times the tokens of a large body would be many GB.
  const int32_t n_ctx = call.model->engine->info().n_ctx;
  if (prompt.size() >= static_cast<std::size_t>(std::max(n_ctx, 0))) {
    throw context_overflow(n_ctx, static_cast<int32_t>(std::min<std::size_t>(prompt.size(), INT32_MAX)));
  }
  if (plan.plan.generations.size() + static_cast<std::size_t>(plan.n) >
      static_cast<std::size_t>(std::max(call.options->max_choices, 1))) {
    throw bad_request("prompt",
                      fmt::format("The request asks for more than {} choices, counting those of each prompt.",
                                  call.options->max_choices));
  }
  std::vector<int32_t> boundaries = message_boundaries(prompt, *call.model->tokenizer);
  // Further choices begin where the first one's prompt ends, but for its last token.
  if (plan.n > 1) boundaries.push_back(static_cast<int32_t>(prompt.size()) - 1);
  for (int32_t i = 0; i < plan.n; ++i) {
    GenerationRequest generation = plan.base;
    generation.prompt = prompt;
    generation.boundaries = boundaries;
    generation.choice = static_cast<uint32_t>(plan.plan.generations.size());
    plan.plan.generations.push_back(std::move(generation));
  }
}

}  // namespace moraine::server
