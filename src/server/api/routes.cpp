#include "server/api/routes.h"

#include <fmt/format.h>

#include <string>

#include "server/api/endpoints.h"
#include "server/api/errors.h"

namespace moraine::server {
namespace {

// Known endpoints that later versions bring: a 501 says so, where a 404 would look like a wrong address.
void to_come(const Call& call) { throw not_built(call.request().method + " " + call.request().path); }

constexpr bool kPublic = false;

constexpr Route kRoutes[] = {
    {"/v1/chat/completions", "POST", chat_completions},
    {"/chat/completions", "POST", chat_completions},
    {"/v1/completions", "POST", completions},
    {"/completion", "POST", completion},
    {"/completions", "POST", completion},
    {"/v1/messages", "POST", messages},
    {"/v1/messages/count_tokens", "POST", count_message_tokens},
    {"/v1/responses", "POST", create_response},
    {"/responses", "POST", create_response},
    {"/v1/responses/input_tokens", "POST", count_response_tokens},
    {"/v1/responses/*", "GET", get_response},
    {"/v1/responses/*", "DELETE", delete_response},
    {"/v1/models", "GET", list_models, kPublic},
    {"/models", "GET", list_models, kPublic},
    {"/v1/health", "GET", health, kPublic},
    {"/health", "GET", health, kPublic},
    {"/props", "GET", props},
    {"/slots", "GET", slots},
    {"/metrics", "GET", metrics},
    {"/connect/*", "GET", connect_page},
    {"/tokenize", "POST", tokenize},
    {"/detokenize", "POST", detokenize},
    {"/apply-template", "POST", apply_template},
    {"/v1/models/*", "GET", get_model},
    {"/models/load", "POST", to_come},
    {"/models/unload", "POST", to_come},
    {"/props", "POST", to_come},
    {"/slots/*", "POST", slot_action},
    {"/infill", "POST", to_come},
    {"/v1/embeddings", "POST", to_come},
    {"/embeddings", "POST", to_come},
    {"/embedding", "POST", to_come},
    {"/v1/rerank", "POST", to_come},
    {"/v1/reranking", "POST", to_come},
    {"/rerank", "POST", to_come},
    {"/reranking", "POST", to_come},
    {"/lora-adapters", "GET", to_come},
    {"/lora-adapters", "POST", to_come},
};

bool matches(const Route& route, std::string_view path) {
  if (!route.path.ends_with('*')) return path == route.path;
  const std::string_view prefix = route.path.substr(0, route.path.size() - 1);
  return path.size() > prefix.size() && path.starts_with(prefix);
}

}  // namespace

const Route& find_route(std::string_view method, std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);  // "/v1/models/"
  std::string allowed;
  for (const Route& route : kRoutes) {
    if (!matches(route, path)) continue;
    if (route.method == method || (route.method == "GET" && method == "HEAD")) return route;
    allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
  }
  if (allowed.empty()) {
    throw ApiError(
        404, "not_found_error", "not_found",
        fmt::format(
            "There is no {} here. The API is at /v1/chat/completions, /v1/responses, /v1/messages and "
            "/v1/models; a client's base URL ends in /v1 (Anthropic's clients: without it).",
            path.substr(0, 200)));
  }
  ApiError error(
      405, "invalid_request_error", "method_not_allowed",
      fmt::format("{} is called by {}, not by {}.", path.substr(0, 200), allowed, method.substr(0, 20)));
  error.headers.push_back({"Allow", allowed});
  throw error;
}

}  // namespace moraine::server
