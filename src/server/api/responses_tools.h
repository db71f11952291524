// Tools of the Responses API as functions that a chat template shows, and the way back from a call of one to
// the name, namespace and kind that the client knows.
#pragma once

#include <map>
#include <string>

#include "server/api/context.h"
#include "server/api/fields.h"

namespace moraine::server {

struct ResponsesTool {
  std::string name;
  std::string name_space;  // "": none
  bool custom = false;     // its input is text, not JSON: the function has one argument, `input`
};

using ResponsesTools = std::map<std::string, ResponsesTool>;  // by the name that the model sees

// The name that the model sees: a namespace's functions are NAMESPACE__NAME.
std::string shown_tool_name(const std::string& name_space, const std::string& name);

// Writes `tools`, `tool_choice` and `parallel_tool_calls` of a chat body. Tools that only OpenAI's servers
// can run (web_search, ...), and kinds that nobody knows yet, are left out with a line in the log.
ResponsesTools add_chat_tools(const Call& call, const Fields& body, Json& chat);

// Between a custom tool's text and the arguments of its function.
std::string custom_arguments(const std::string& input);
std::string custom_input(const std::string& arguments);  // of arguments that were cut: what there is

}  // namespace moraine::server
