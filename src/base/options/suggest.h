// "did you mean ...?": the closest of some known words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moraine::options {

// The word nearest to `typed` by letters left out, added, changed or swapped, or the one that it
// begins; empty where none is near enough to be meant.
std::string nearest(std::string_view typed, const std::vector<std::string>& words);

}  // namespace moraine::options
