// From a chat request's messages and tools to the text of a prompt: every shape that real clients send
// is brought into the one that templates know. What templates do with it is src/chat.
#pragma once

#include <string>

#include "server/api/context.h"
#include "server/api/fields.h"

namespace moraine::server {

// Throws ApiError 400 naming the message and field at fault; 500 where the model has no template.
std::string render_chat_prompt(const Call& call, const Fields& body);

}  // namespace moraine::server
