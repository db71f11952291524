// Which format a template writes calls in: told by how it renders a call, not by what its text mentions.
#pragma once

#include <string_view>

#include "chat/output_format.h"

namespace moraine::chat {

// `history`: a conversation with a call of `tool_mark` with {"p": "argument_mark"} as the template renders
// it; empty where it shows no calls. `text`: the template's own, which tells the tags of reasoning.
OutputFormat detect_output_format(std::string_view history, std::string_view text);

}  // namespace moraine::chat
