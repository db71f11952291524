// What the translators of protocols share: pieces of a chat request's body (/v1/chat/completions), which is
// the shape that request_plan() and chat_prompt() read. messages_request.h and responses_request.h bring
// their protocols into it; no protocol has a path to the engine of its own.
#pragma once

#include <initializer_list>
#include <string>

#include "server/api/context.h"
#include "server/api/fields.h"

namespace moraine::server {

// Copies the members that are there, null ones apart, under their names.
void copy_fields(const Fields& from, Json& to, std::initializer_list<const char*> names);
// The sampling fields of llama-server and OpenAI, which every protocol takes beside its own.
void copy_sampling_fields(const Fields& from, Json& to);

// The name a client gave its model, to be echoed; the served one's id for none, and for one too long to
// repeat in every event.
std::string echoed_model(const Call& call, const Fields& body);

Json text_part(std::string text);
// A picture, recording or file: chat_prompt() leaves a note in its place. Its data is not kept.
Json media_part(const std::string& type);

// `arguments`: an object, or the JSON text of one.
Json tool_call(std::string id, std::string name, Json arguments);
// A tool as chat has it. `parameters` may be null.
Json function_tool(std::string name, const Json* description, const Json* parameters);

// The string at `name`. Throws ApiError 400 where it is absent or none.
std::string required_string(const Fields& fields, const char* name);
// What must be there, whatever it is.
const Json& required(const Fields& fields, const char* name);

}  // namespace moraine::server
