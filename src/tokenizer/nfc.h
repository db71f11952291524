// Unicode normalisation form C, which some models' tokenizers apply before anything else.
#pragma once

#include <string>
#include <string_view>

namespace moraine {

// The text must be valid UTF-8. O(n log n), whatever the order of its combining marks.
std::string to_nfc(std::string_view text);

}  // namespace moraine
