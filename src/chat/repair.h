// Conversations brought into the shape a template takes: roles that alternate, one call at a time, system
// messages where they may stand, ids of the length it wants. Owns those rules; which of them a template needs
// is TemplateCaps, and single messages are messages.h. What a template takes as it is stays as it is.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "chat/template.h"

namespace moraine::chat {

// `messages`: an array of objects with role and content, mended one by one. `tools_json`: the tools of the
// request if the template shows none, to be described in words; else empty.
void repair_conversation(nlohmann::ordered_json& messages, const TemplateCaps& caps,
                         std::string_view tools_json);

// What the least able template needs: for one that refuses messages it should take by its caps.
TemplateCaps plainest(TemplateCaps caps);

// The tools with nothing left out that templates like to walk through: each has a description and
// parameters with properties, each schema a type. For templates that fail on the tools as they are. Empty
// for what is no array of tools.
std::string plain_tools(std::string_view tools_json);

// JSON as Python's json.dumps writes it, which is what models saw: {"a": 1, "b": [2, 3]}.
std::string python_json(const nlohmann::ordered_json& value);

}  // namespace moraine::chat
