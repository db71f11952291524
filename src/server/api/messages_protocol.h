// An answer as Anthropic's Messages API tells it: content blocks of thinking, text and tool_use, in the order
// they were written. The request's side is messages_request.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "chat/output_parser.h"
#include "server/api/answer.h"

namespace moraine::server {

// Of one choice. `model` is echoed; `n_prompt` is told before any work.
std::unique_ptr<Protocol> make_messages_protocol(std::string model, int32_t n_prompt,
                                                 std::unique_ptr<chat::OutputParser> parser);

}  // namespace moraine::server
