// An answer as OpenAI's Responses API tells it: items of reasoning, text and calls, each announced, filled
// and finished by events in a fixed order. The request's side is responses_request.h.
#pragma once

#include <memory>

#include "chat/output_parser.h"
#include "server/api/answer.h"
#include "server/api/context.h"
#include "server/api/responses_request.h"

namespace moraine::server {

// Of one choice.
std::unique_ptr<Protocol> make_responses_protocol(const Call& call, ResponsesRequest request,
                                                  const SamplingParams& sampling,
                                                  std::unique_ptr<chat::OutputParser> parser);

}  // namespace moraine::server
