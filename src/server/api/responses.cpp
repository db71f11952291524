// POST /v1/responses: OpenAI's Responses API, as Codex speaks it; GET and DELETE of stored ones; and the
// count of a request's tokens. A request becomes a chat request (responses_request.h), takes its path, and is
// answered in items and their events (responses_protocol.h).
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/auth.h"
#include "server/api/chat_prompt.h"
#include "server/api/endpoints.h"
#include "server/api/errors.h"
#include "server/api/request_plan.h"
#include "server/api/response_store.h"
#include "server/api/responses_protocol.h"
#include "server/api/responses_request.h"

namespace moraine::server {
namespace {

std::string id_of(const Call& call) {
  constexpr std::string_view kPrefix = "/v1/responses/";
  std::string id = call.request().path.substr(kPrefix.size());
  if (id.ends_with('/')) id.pop_back();
  return id;
}

ApiError not_stored(const std::string& id) {
  return ApiError(404, "invalid_request_error", "not_found",
                  fmt::format("There is no stored response '{}'.", id.substr(0, 100)));
}

}  // namespace

void create_response(const Call& call) {
  const Json json = parse_json(call.request().body);
  ResponsesRequest request;
  const Json chat_json = chat_body_from_responses(call, Fields(json), request);
  const Fields chat(chat_json);
  RequestPlan plan = request_plan(call, chat, {});
  ChatPrompt prompt = chat_prompt(call, chat);
  add_chat_prompt(call, plan, prompt);
  const SamplingParams sampling = plan.sampling.params;
  Answer::start(call, std::move(plan.plan),
                make_responses_protocol(call, std::move(request), sampling, prompt.make_parser(0)));
}

void count_response_tokens(const Call& call) {
  const Json json = parse_json(call.request().body);
  ResponsesRequest request;
  const Json chat = chat_body_from_responses(call, Fields(json), request);
  reply_json(*call.exchange, {{"object", "response.input_tokens"},
                              {"input_tokens", chat_prompt(call, Fields(chat)).tokens.size()}});
}

void get_response(const Call& call) {
  const std::string id = id_of(call);
  const auto stored = call.responses->find(key_scope(call.request(), call.options->api_keys), id);
  if (!stored) throw not_stored(id);
  http::Response response;
  response.body = stored->response;
  call.exchange->reply(std::move(response));
}

void delete_response(const Call& call) {
  const std::string id = id_of(call);
  if (!call.responses->erase(key_scope(call.request(), call.options->api_keys), id)) throw not_stored(id);
  reply_json(*call.exchange, {{"id", id}, {"object", "response"}, {"deleted", true}});
}

}  // namespace moraine::server
