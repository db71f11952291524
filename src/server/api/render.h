// The parts of JSON answers that several endpoints share: usage, timings, log-probabilities, events.
#pragma once

#include <moraine/tokenizer.h>

#include <span>
#include <string>

#include "chat/output_parser.h"
#include "server/api/answer.h"
#include "server/api/json.h"

namespace moraine::server {

std::string sse(const Json& event);  // "data: {...}\n\n"
// "event: TYPE\ndata: {...}\n\n", TYPE being the event's own.
std::string named_sse(const Json& event);

// A fresh id such as "chatcmpl-4kq...": 32 random letters and digits after the prefix.
std::string new_id(const char* prefix);
int64_t unix_seconds();

// Prompts count once, however many choices continue them (`n` for each).
Json usage_json(std::span<const Choice> choices, int32_t n);
// llama-server's timings: of one choice, or of several together (counts added, longest times).
Json timings_json(std::span<const Choice> choices);

// {"id","token","bytes","logprob","top_logprobs"} of a token, as OpenAI's chat answers and llama-server's
// completion_probabilities have it.
Json token_logprob_json(const TokenEvent& event, const Tokenizer& tokenizer);
// Of several: {"content":[...],"refusal":null}.
Json chat_logprobs_json(std::span<const TokenEvent> events, const Tokenizer& tokenizer);
double shown_logprob(float logprob);  // JSON has no -infinity: OpenAI's -9999

// How a choice's text ended, for its parser: at a stop string or limit it may be half of something.
chat::TextEnd text_end(const Choice& choice);
const char* finish_reason(const Choice& choice);  // "stop" or "length"

}  // namespace moraine::server
