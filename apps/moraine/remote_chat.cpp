#include "remote_chat.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <nlohmann/json.hpp>

namespace moraine::app {
namespace {

using OrderedJson = nlohmann::ordered_json;
using nlohmann::json;

constexpr size_t kMaxEventBytes = 16 << 20, kMaxRefusalBytes = 64 << 10;

template <class T>
void set(OrderedJson& body, const char* name, const std::optional<T>& value) {
  if (value) body[name] = *value;
}

const json* at(const json& j, const char* pointer) {
  const json::json_pointer p(pointer);
  return j.contains(p) ? &j[p] : nullptr;
}
double number(const json& j, const char* pointer) {
  const json* v = at(j, pointer);
  return v && v->is_number() ? v->get<double>() : 0;
}

}  // namespace

RemoteChat::RemoteChat(const RunningModel& server, const Settings& settings)
    : client_(server.url), settings_(settings) {
  clear();
}

void RemoteChat::clear() {
  messages_.clear();
  if (!settings_.system_prompt.empty()) messages_.emplace_back("system", settings_.system_prompt);
}

Outcome RemoteChat::ask(std::string_view question, Signals& signals,
                        const std::function<void(std::string_view)>& on_text) {
  OrderedJson body = {{"stream", true}, {"messages", OrderedJson::array()}};
  for (const auto& [role, content] : messages_)
    body["messages"].push_back({{"role", role}, {"content", content}});
  body["messages"].push_back({{"role", "user"}, {"content", std::string(question)}});
  const server::SamplingOverrides& o = settings_.api.sampling;
  set(body, "temperature", o.temperature);
  set(body, "top_k", o.top_k);
  set(body, "top_p", o.top_p);
  set(body, "min_p", o.min_p);
  set(body, "repeat_penalty", o.repeat_penalty);
  set(body, "presence_penalty", o.presence_penalty);
  set(body, "frequency_penalty", o.frequency_penalty);
  set(body, "seed", o.seed);
  if (settings_.api.n_predict >= 0) body["max_tokens"] = settings_.api.n_predict;
  if (!settings_.api.grammar.empty()) body["grammar"] = settings_.api.grammar;
  if (!settings_.api.json_schema.empty()) body["json_schema"] = settings_.api.json_schema;

  Outcome outcome;
  std::string pending, answer, failure;
  std::string beginning;  // of a refusal, which is no stream
  const auto read_event = [&](std::string_view line) {
    constexpr std::string_view kData = "data: ";
    if (!line.starts_with(kData) || line == "data: [DONE]") return;
    const json event = json::parse(line.substr(kData.size()), nullptr, false);
    if (const json* message = at(event, "/error/message"); message && message->is_string())
      failure = message->get<std::string>();
    for (const char* place : {"/choices/0/delta/reasoning_content", "/choices/0/delta/content"})
      if (const json* text = at(event, place); text && text->is_string()) {
        on_text(text->get_ref<const std::string&>());
        if (std::string_view(place).ends_with("/content")) answer += text->get_ref<const std::string&>();
      }
    if (const json* reason = at(event, "/choices/0/finish_reason"); reason && reason->is_string())
      outcome.reason = *reason == "length" ? FinishReason::kLength : FinishReason::kStop;
    if (at(event, "/timings")) {
      outcome.stats.n_cached = static_cast<int32_t>(number(event, "/timings/cache_n"));
      outcome.stats.n_prompt =
          outcome.stats.n_cached + static_cast<int32_t>(number(event, "/timings/prompt_n"));
      outcome.stats.n_generated = static_cast<int32_t>(number(event, "/timings/predicted_n"));
      outcome.stats.prompt_ms = number(event, "/timings/prompt_ms");
      outcome.stats.generated_ms = number(event, "/timings/predicted_ms");
    }
  };
  HttpClient::Request request;
  request.method = "POST";
  request.path = "/v1/chat/completions";
  request.body = body.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  request.stop_fd = signals.fd();
  request.on_body = [&](std::string_view bytes) {
    if (beginning.size() < kMaxRefusalBytes) beginning += bytes;
    pending += bytes;
    for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1))
      read_event(pending.substr(0, end));
    if (pending.size() > kMaxEventBytes)
      throw Error(ErrorCode::kIo, "The server sends events without an end.");
  };
  const HttpAnswer reply = client_.send(request);
  outcome.interrupted = signals.take().has_value();
  if (reply.status != 200 && !outcome.interrupted) {
    const json refusal = json::parse(beginning, nullptr, false);
    if (const json* message = at(refusal, "/error/message");
        failure.empty() && message && message->is_string())
      failure = message->get<std::string>();
    throw Error(
        ErrorCode::kUnavailable,
        failure.empty() ? fmt::format("{} answers with status {}.", client_.url(), reply.status) : failure);
  }
  if (!failure.empty()) throw Error(ErrorCode::kUnavailable, failure);
  if (!reply.complete && !outcome.interrupted)
    throw Error(ErrorCode::kIo, fmt::format("{} hung up in the middle of its answer.", client_.url()));
  messages_.emplace_back("user", std::string(question));
  messages_.emplace_back("assistant", std::move(answer));
  return outcome;
}

}  // namespace moraine::app
