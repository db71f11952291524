// A request of OpenAI's Responses API as a chat request's body. Items become messages (responses_items.h),
// flat, namespaced and custom tools become functions. What it honours, ignores and refuses is listed in
// docs/api.md. The answer's side is responses_protocol.h.
#pragma once

#include <string>

#include "server/api/context.h"
#include "server/api/fields.h"
#include "server/api/responses_tools.h"

namespace moraine::server {

struct ResponsesRequest {
  std::string
      conversation;  // a JSON array of all input items, earlier responses' included; "" unless `store`
  std::string echo;  // the response object's members that repeat the request, as JSON text
  ResponsesTools tools;
  bool store = true;
  bool summaries = false;          // reasoning is told as a summary
  bool encrypted_content = false;  // reasoning items carry what a client needs to send them back whole
};

// Returns the chat body and fills `request`. Throws ApiError 400 naming the field at fault.
Json chat_body_from_responses(const Call& call, const Fields& body, ResponsesRequest& request);

}  // namespace moraine::server
