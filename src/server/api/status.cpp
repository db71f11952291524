// GET /health, /props, /slots and /metrics: what an operator, a monitor or a client's set-up asks.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "server/api/endpoints.h"
#include "server/api/errors.h"

namespace moraine::server {

namespace {

ApiError switched_off(const char* what) {
  return ApiError(
      501, "not_supported_error", "switched_off",
      fmt::format("This server was started without its {} endpoint; --{} brings it back.", what, what));
}

}  // namespace

void health(const Call& call) { reply_json(*call.exchange, {{"status", "ok"}}); }

void props(const Call& call) {
  const ServedModel& model = *call.model;
  const ModelInfo& info = model.engine->info();
  const auto token_text = [&](TokenId id) {
    return model.tokenizer->contains(id) ? std::string(model.tokenizer->token_bytes(id)) : "";
  };
  Json params = params_json(model.sampling);
  if (model.sampling.random_seed) params["seed"] = 0xFFFFFFFFu;  // llama-server's "any"
  params["n_predict"] = call.options->n_predict;
  Json body = {
      {"default_generation_settings",
       {{"n_ctx", info.n_ctx}, {"params", std::move(params)}, {"sources", sources_json(model.sampling)}}},
      {"total_slots", info.n_parallel},
      {"model_alias", model.id},
      {"model_path", info.path},
      {"modalities", {{"vision", false}, {"audio", false}}},
      {"n_ctx", info.n_ctx},
      {"n_ctx_train", info.n_ctx_train},
      {"chat_template", model.chat_template ? model.chat_template->text() : ""},
      {"bos_token", token_text(model.tokenizer->special().bos)},
      {"eos_token", token_text(model.tokenizer->special().eos)},
      {"cache",
       {{"bytes", model.engine->memory().cache},
        {"prompt", call.options->cache_prompt},
        {"scope", call.options->cache_scope == CacheScope::kKey ? "key" : "all"}}},
      {"build_info", call.options->build_info},
      {"notes", info.notes},
  };
  reply_json(*call.exchange, body);
}

void slots(const Call& call) {
  if (!call.options->slots) throw switched_off("slots");
  const ModelInfo& info = call.model->engine->info();
  const EngineStats stats = call.model->engine->stats();
  Json list = Json::array();
  for (int32_t i = 0; i < info.n_parallel; ++i) {
    list.push_back({{"id", i}, {"n_ctx", info.n_ctx}, {"is_processing", i < stats.running}});
  }
  reply_json(*call.exchange, list);
}

void metrics(const Call& call) {
  if (!call.options->metrics) throw switched_off("metrics");
  const EngineStats s = call.model->engine->stats();
  const MemoryEstimate& memory = call.model->engine->memory();
  std::string text;
  const auto add = [&](std::string_view name, std::string_view type, std::string_view help, double value) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", name, help, type, value);
  };
  const auto rate = [](uint64_t n, double seconds) {
    return seconds > 0 ? static_cast<double>(n) / seconds : 0.0;
  };
  const auto count = [](uint64_t n) { return static_cast<double>(n); };
  // The names of llama-server, so that its dashboards work.
  add("llamacpp:prompt_tokens_total", "counter", "Number of prompt tokens processed.",
      count(s.prompt_tokens_total));
  add("llamacpp:prompt_seconds_total", "counter", "Prompt process time.", s.prompt_seconds_total);
  add("llamacpp:tokens_predicted_total", "counter", "Number of generation tokens processed.",
      count(s.generated_tokens_total));
  add("llamacpp:tokens_predicted_seconds_total", "counter", "Predict process time.",
      s.generated_seconds_total);
  add("moraine:drafted_tokens_total", "counter", "Tokens guessed ahead.", count(s.drafted_tokens_total));
  add("moraine:accepted_tokens_total", "counter", "Of them, those that held.",
      count(s.accepted_tokens_total));
  if (!s.drafters.empty()) {
    const auto by_drafter = [&](const char* name, const char* help, uint64_t DrafterStats::* what) {
      text += fmt::format("# HELP {0} {1}\n# TYPE {0} counter\n", name, help);
      for (const DrafterStats& d : s.drafters)
        text += fmt::format("{}{{drafter=\"{}\"}} {}\n", name, d.name, d.*what);
    };
    by_drafter("moraine:drafter_drafted_tokens_total", "Tokens guessed ahead, by who guessed.",
               &DrafterStats::drafted);
    by_drafter("moraine:drafter_accepted_tokens_total", "Of them, those that held.", &DrafterStats::accepted);
  }
  add("llamacpp:n_decode_total", "counter", "Number of decode steps.", count(s.decode_steps_total));
  add("llamacpp:prompt_tokens_seconds", "gauge", "Average prompt throughput in tokens/s.",
      rate(s.prompt_tokens_total, s.prompt_seconds_total));
  add("llamacpp:predicted_tokens_seconds", "gauge", "Average generation throughput in tokens/s.",
      rate(s.generated_tokens_total, s.generated_seconds_total));
  add("llamacpp:requests_processing", "gauge", "Number of requests processing.", s.running);
  add("llamacpp:requests_deferred", "gauge", "Number of requests deferred.", s.waiting);
  add("moraine:requests_total", "counter", "Generations asked for since the start.", count(s.requests_total));
  add("moraine:prompt_tokens_cached_total", "counter", "Prompt tokens taken from the cache.",
      count(s.cached_tokens_total));
  add("moraine:prompt_tokens_restored_total", "counter", "Of them, those read back from disk.",
      count(s.restored_tokens_total));
  add("moraine:cache_disk_written_bytes_total", "counter", "Bytes written to the cache on disk.",
      count(s.disk_bytes_written));
  add("moraine:cache_disk_read_bytes_total", "counter", "Bytes read from it.", count(s.disk_bytes_read));
  add("moraine:generations_suspended_total", "counter", "Generations that had to wait for memory.",
      count(s.suspended_total));
  add("moraine:kv_bytes_used", "gauge", "Bytes of KV pages and states in use, the cache's included.",
      count(s.kv_bytes_used));
  add("moraine:cache_bytes_used", "gauge", "Bytes of them that finished prompts left.",
      count(s.cache_bytes_used));
  add("moraine:cache_bytes_max", "gauge", "Most bytes that finished prompts may leave.", count(memory.cache));
  add("moraine:weights_bytes", "gauge", "Bytes of the weights in memory.", count(memory.weights));
  http::Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = std::move(text);
  call.exchange->reply(std::move(response));
}

}  // namespace moraine::server
