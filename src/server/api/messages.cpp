// POST /v1/messages and /v1/messages/count_tokens: Anthropic's Messages API, as Claude Code speaks it. A
// request becomes a chat request (messages_request.h), takes its path, and is answered in Anthropic's events
// (messages_protocol.h). Errors on these routes have Anthropic's envelope: errors.h.
#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/chat_body.h"
#include "server/api/chat_prompt.h"
#include "server/api/endpoints.h"
#include "server/api/errors.h"
#include "server/api/messages_protocol.h"
#include "server/api/messages_request.h"
#include "server/api/request_plan.h"

namespace moraine::server {

void messages(const Call& call) {
  const Json json = parse_json(call.request().body);
  const Fields body(json);
  required(body, "max_tokens");
  body.integer("max_tokens", 1);  // one beyond the context is clamped
  const Json chat_json = chat_body_from_messages(call, body);
  const Fields chat(chat_json);
  RequestPlan plan = request_plan(call, chat, {});
  ChatPrompt prompt = chat_prompt(call, chat);
  add_chat_prompt(call, plan, prompt);
  const auto n_prompt = static_cast<int32_t>(plan.plan.generations[0].prompt.size());
  Answer::start(call, std::move(plan.plan),
                make_messages_protocol(echoed_model(call, body), n_prompt, prompt.make_parser(0)));
}

void count_message_tokens(const Call& call) {
  const Json json = parse_json(call.request().body);
  const Json chat = chat_body_from_messages(call, Fields(json));
  reply_json(*call.exchange, {{"input_tokens", chat_prompt(call, Fields(chat)).tokens.size()}});
}

}  // namespace moraine::server
