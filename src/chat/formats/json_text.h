// JSON as text, for parsers that hand it on and never build values of it: quoting, and taking apart text that
// RelaxedJson wrote (strict, without white space). Owns no grammar: relaxed_json.h.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moraine::chat {

// What stands between the quotes of a JSON string that means `text`.
void append_escaped(std::string& out, std::string_view text);
std::string quoted(std::string_view text);

// The text that a JSON string (with its quotes) means.
std::string unquoted(std::string_view json);

// The members of an object written by RelaxedJson: keys without quotes (escapes stay), values as they stand.
// Empty for anything else.
std::vector<std::pair<std::string_view, std::string_view>> members_of(std::string_view object);
// The elements of an array, likewise.
std::vector<std::string_view> elements_of(std::string_view array);

}  // namespace moraine::chat
