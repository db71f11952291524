#include "server/api/render.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

namespace moraine::server {

std::string sse(const Json& event) { return "data: " + dump(event) + "\n\n"; }

std::string named_sse(const Json& event) {
  return "event: " + event["type"].get_ref<const std::string&>() + "\n" + sse(event);
}

std::string new_id(const char* prefix) {
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::random_device device;
  std::uniform_int_distribution<int> letter(0, sizeof(kLetters) - 2);
  std::string id = prefix;
  for (int i = 0; i < 32; ++i) id += kLetters[letter(device)];
  return id;
}

int64_t unix_seconds() {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

Json usage_json(std::span<const Choice> choices, int32_t n) {
  int64_t prompt = 0, cached = 0, completion = 0;
  for (const Choice& choice : choices) {
    completion += choice.n_generated;
    if (choice.index % static_cast<uint32_t>(n) != 0) continue;  // a further choice of the same prompt
    prompt += choice.n_prompt;
    cached += choice.stats.n_cached;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

Json timings_json(std::span<const Choice> choices) {
  int64_t cached = 0, computed = 0, generated = 0, drafted = 0, accepted = 0;
  double prompt_ms = 0, generated_ms = 0;
  for (const Choice& choice : choices) {
    cached += choice.stats.n_cached;
    computed += choice.n_prompt - choice.stats.n_cached;
    generated += choice.n_generated;
    drafted += choice.stats.n_drafted;
    accepted += choice.stats.n_accepted;
    prompt_ms = std::max(prompt_ms, choice.stats.prompt_ms);
    generated_ms = std::max(generated_ms, choice.stats.generated_ms);
  }
  const auto per_token = [](double ms, int64_t n) { return n > 0 ? ms / static_cast<double>(n) : 0.0; };
  const auto per_second = [](double ms, int64_t n) {
    return ms > 0 ? 1e3 * static_cast<double>(n) / ms : 0.0;
  };
  return {{"cache_n", cached},
          {"prompt_n", computed},
          {"prompt_ms", prompt_ms},
          {"prompt_per_token_ms", per_token(prompt_ms, computed)},
          {"prompt_per_second", per_second(prompt_ms, computed)},
          {"predicted_n", generated},
          {"predicted_ms", generated_ms},
          {"predicted_per_token_ms", per_token(generated_ms, generated)},
          {"predicted_per_second", per_second(generated_ms, generated)},
          {"draft_n", drafted},
          {"draft_n_accepted", accepted}};
}

double shown_logprob(float logprob) { return logprob > -9999.0f ? logprob : -9999.0; }

namespace {

Json one_logprob(TokenId id, float logprob, const Tokenizer& tokenizer) {
  const std::string_view bytes = tokenizer.contains(id) ? tokenizer.token_bytes(id) : std::string_view();
  Json values = Json::array();
  for (const char c : bytes) values.push_back(static_cast<unsigned char>(c));
  return {{"id", id}, {"token", bytes}, {"bytes", std::move(values)}, {"logprob", shown_logprob(logprob)}};
}

}  // namespace

Json token_logprob_json(const TokenEvent& event, const Tokenizer& tokenizer) {
  Json json = one_logprob(event.id, event.logprob, tokenizer);
  Json top = Json::array();
  for (const TokenProb& p : event.top) top.push_back(one_logprob(p.id, p.logprob, tokenizer));
  json["top_logprobs"] = std::move(top);
  return json;
}

Json chat_logprobs_json(std::span<const TokenEvent> events, const Tokenizer& tokenizer) {
  Json content = Json::array();
  for (const TokenEvent& event : events) content.push_back(token_logprob_json(event, tokenizer));
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

chat::TextEnd text_end(const Choice& choice) {
  return choice.stop == StopKind::kEos ? chat::TextEnd::kComplete : chat::TextEnd::kCut;
}

const char* finish_reason(const Choice& choice) {
  return choice.stop == StopKind::kLength ? "length" : "stop";
}

}  // namespace moraine::server
