// Message mending: shapes that clients send and a template cannot take are turned into ones it can,
// without a change of meaning. Owns the rules for one message; those for a conversation are repair.h. What a
// template takes is TemplateCaps.
#pragma once

#include <string>
#include <string_view>

#include "chat/template.h"

namespace moraine::chat {

// JSON text to JSON text. The rules, in the order they are applied to each message:
// - arguments of tool calls that are the text of a JSON object become that object (or, for a template
//   that wants text, the other way round, spaced as Python does); other text stays;
// - content that is an array of text parts becomes one string where the template does not take parts;
//   parts of other types stay, and a template that cannot take them refuses them itself;
// - content that is missing becomes null; null becomes "", except beside tool calls where the template takes
// it. Throws Error{kInvalidArgument} for what is not an array of objects, or is nested too deeply.
// Then repair_conversation(); `untold_tools` are tools that the template will not show.
std::string mend_messages(std::string_view messages_json, const TemplateCaps& caps,
                          std::string_view untold_tools = {});

}  // namespace moraine::chat
