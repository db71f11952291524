#include "running_server.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "console.h"
#include "server/http/get.h"

namespace moraine::app {
namespace {

using nlohmann::json;

constexpr size_t kMaxNameBytes = 512;

// The answer as JSON; null where the status is not 200 or it is none.
json ask(const agents::Server& s, const char* path, int* status = nullptr) {
  http::GetOptions options;
  if (!s.key.empty()) options.headers.push_back({"Authorization", "Bearer " + s.key});
  const http::GetResult answer = http::get(s.url + path, options);
  if (status) *status = answer.status;
  if (answer.status == 503)
    throw Error(ErrorCode::kUnavailable,
                fmt::format("{} is still loading its model: try again when it is ready.", s.url));
  if (answer.status == 401 || answer.status == 403)
    throw Error(ErrorCode::kInvalidArgument,
                s.key.empty() ? fmt::format("{} asks for a key: give it with --key.", s.url)
                              : fmt::format("{} does not accept this key.", s.url));
  if (answer.status != 200) return {};
  json body = json::parse(answer.body, nullptr, false);
  return body.is_discarded() ? json() : body;
}

int64_t number_at(const json& j, const char* pointer) {
  const json::json_pointer p(pointer);
  if (!j.contains(p) || !j[p].is_number_integer()) return 0;
  return j[p].get<int64_t>();
}

std::string text_at(const json& j, const char* pointer) {
  const json::json_pointer p(pointer);
  return j.contains(p) && j[p].is_string() ? j[p].get<std::string>() : "";
}

agents::Server describe(agents::Server s) {
  const json models = ask(s, "/v1/models"), props = ask(s, "/props");
  s.model = text_at(models, "/data/0/id");
  if (s.model.empty() || s.model.size() > kMaxNameBytes)
    throw Error(ErrorCode::kUnsupported,
                fmt::format("What answers at {} names no model at /v1/models: is it moraine?", s.url));
  for (const char* place : {"/data/0/meta/n_ctx", "/data/0/max_model_len"})
    if (s.n_ctx <= 0) s.n_ctx = number_at(models, place);
  for (const char* place : {"/default_generation_settings/n_ctx", "/n_ctx"})
    if (s.n_ctx <= 0) s.n_ctx = number_at(props, place);
  if (s.n_ctx <= 0)
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{} does not say how long a context {} has: is it moraine?", s.url, s.model));
  s.reasoning = agents::template_reasons(text_at(props, "/chat_template"));
  return s;
}

}  // namespace

agents::Server ask_running_server(const std::string& url, const std::string& key) {
  if (!url.empty()) return describe({.url = agents::server_root(url), .key = key});
  for (const char* usual : {"http://127.0.0.1:8081", "http://127.0.0.1:8080"}) {
    try {
      return describe({.url = usual, .key = key});
    } catch (const Error& e) {
      // Nobody there, or somebody else: the next one is asked.
      const bool elsewhere =
          e.code() == ErrorCode::kIo || e.code() == ErrorCode::kUnsupported ||
          (e.code() == ErrorCode::kUnavailable && std::string(e.what()).find("loading") == std::string::npos);
      if (!elsewhere) throw;
    }
  }
  throw Error(
      ErrorCode::kUnavailable,
      "No server answers at http://127.0.0.1:8081 or 8080. Start one (moraine serve MODEL.gguf --port 8081), "
      "or say where it is with --url.");
}

}  // namespace moraine::app
