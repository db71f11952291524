// A request of Anthropic's Messages API as a chat request's body. What it honours, ignores and refuses is
// listed in docs/api.md. The answer's side is messages_protocol.h.
#pragma once

#include "server/api/context.h"
#include "server/api/fields.h"

namespace moraine::server {

// What /v1/messages/count_tokens reads: system, messages, tools, tool_choice, thinking. Throws ApiError 400
// naming the field at fault.
Json chat_body_from_messages(const Call& call, const Fields& body);

}  // namespace moraine::server
