// The endpoints: one function each, defined in the file of its family. They throw ApiError (or Error)
// for what is to be answered with one; routes.cpp says which path leads where.
#pragma once

#include "server/api/context.h"

namespace moraine::server {

void chat_completions(const Call& call);  // chat_completions.cpp
void apply_template(const Call& call);    // tokens.cpp
void completions(const Call& call);       // completions.cpp: OpenAI's
void completion(const Call& call);        // llama_completion.cpp: llama-server's
void messages(const Call& call);          // messages.cpp: Anthropic's
void count_message_tokens(const Call& call);
void create_response(const Call& call);  // responses.cpp: OpenAI's newer one
void get_response(const Call& call);     // responses.cpp: /v1/responses/ID
void delete_response(const Call& call);
void count_response_tokens(const Call& call);
void tokenize(const Call& call);  // tokens.cpp
void detokenize(const Call& call);
void list_models(const Call& call);  // models.cpp
void get_model(const Call& call);    // models.cpp: /v1/models/ID
void props(const Call& call);        // status.cpp
void slots(const Call& call);
void slot_action(const Call& call);  // slots.cpp: /slots/ID?action=
void metrics(const Call& call);
void health(const Call& call);
void connect_page(const Call& call);  // connect.cpp: /connect/CLIENT

}  // namespace moraine::server
