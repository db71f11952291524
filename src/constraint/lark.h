// Pieces of grammars in Lark, as the grammar engine (rust/src/constraints.rs) reads them. Everything that
// comes from a request passes through here before it stands in a grammar.
#pragma once

#include <string>
#include <string_view>

namespace moraine::constraint {

// A text to be matched as it is: "..." with its quotes. UTF-8; what is not becomes U+FFFD.
std::string lark_text(std::string_view text);

enum class Properties : unsigned char {
  kAsSchemaSays,  // an object may have members that the schema does not name, unless it forbids them
  kNamedOnly,     // it may not, unless the schema speaks of them
};

// Values of a JSON schema: %json {...}. What the engine of grammars does not know is not enforced, and it
// warns of it. `schema`: JSON text. Throws Error{kInvalidArgument} where it is none, or no object or boolean.
std::string lark_schema(std::string_view schema, Properties properties);

// A regular expression in the syntax of JSON schemas' patterns, for a whole text: /.../.
std::string lark_regex(std::string_view regex);

}  // namespace moraine::constraint
