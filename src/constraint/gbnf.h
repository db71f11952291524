// Grammars of llama.cpp (GBNF) as Lark, the language of the engine of grammars.
//
// GBNF derives texts character by character; Lark reads them word by word, each as long as it can be. What
// has no recursion becomes one regular expression and means the same; only between words of a recursive rule
// can a word take what the next one needed ([a-z]* "b"), which real grammars avoid.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace moraine::constraint {

// token: the Lark for a token by its text, Grammars::lark_token. Throws Error{kInvalidArgument} naming the
// line.
std::string lark_from_gbnf(std::string_view gbnf, const std::function<std::string(std::string_view)>& token);

}  // namespace moraine::constraint
