// GET /connect/CLIENT: the settings of a coding agent for this server, as a file, for a machine that has no
// moraine. The address is the one it was asked at, the key the one it was asked with. What is said:
// src/agents.
#include <fmt/format.h>

#include "agents/client.h"
#include "server/api/auth.h"
#include "server/api/endpoints.h"
#include "server/api/errors.h"

namespace moraine::server {
namespace {

// As the one who asks spells it: this machine may have many names.
std::string address_of(const http::Request& request, bool https) {
  const std::string_view host = request.header("Host");
  if (host.empty())
    throw bad_request("", "The request names no host, so that its address cannot be put into settings.");
  if (request.header("X-Forwarded-Proto") == "https") https = true;  // a proxy before this server
  return agents::server_root(fmt::format("{}://{}", https ? "https" : "http", host));
}

}  // namespace

void connect_page(const Call& call) {
  const std::string name = call.request().path.substr(call.request().path.find("/connect/") + 9);
  const agents::Client* client = agents::find_client(name);
  if (client == nullptr)
    throw ApiError(404, "not_found_error", "not_found",
                   fmt::format("There are settings for {}.", agents::client_names()));
  const ServedModel& model = *call.model;
  agents::Server server{.url = address_of(call.request(), call.options->https),
                        .key = given_key(call.request(), call.options->api_keys),
                        .model = model.id,
                        .n_ctx = model.engine->info().n_ctx};
  if (model.chat_template) server.reasoning = agents::template_reasons(model.chat_template->text());
  agents::require_context(server);
  http::Response response;
  response.content_type = "text/plain; charset=utf-8";
  response.headers = {{"Cache-Control", "no-store"}};  // it may hold the key
  response.body = client->page(server);
  call.exchange->reply(std::move(response));
}

}  // namespace moraine::server
