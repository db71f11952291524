// The text that `moraine perplexity` reads where none is given: bench/perplexity.txt, English and code,
// part of the program so that its numbers can be compared anywhere. perplexity_text.cpp.in makes it so.
#pragma once

#include <string_view>

namespace moraine::app {

std::string_view perplexity_text();

}  // namespace moraine::app
