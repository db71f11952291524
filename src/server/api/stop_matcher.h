// Finds stop strings in text that arrives in pieces, across token boundaries, and never lets part of
// one out before it is known not to become a whole one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::server {

class StopMatcher {
 public:
  // Empty strings are dropped.
  explicit StopMatcher(std::vector<std::string> stops);

  // Appends to `out` what is now certain to be shown. True once a stop string is complete: the text
  // before it is in `out`, what follows is not, and the matcher is done.
  bool push(std::string_view text, std::string& out);
  // What was held back as a possible beginning, when nothing follows.
  std::string flush();

  const std::string& matched() const { return matched_; }  // the stop string found, or ""

 private:
  // One automaton (Knuth, Morris, Pratt) for each stop string: linear in the text, whatever the strings.
  struct Pattern {
    std::string text;
    std::vector<std::size_t> failure;  // of each prefix: its longest proper border
    std::size_t state = 0;             // bytes of `text` that end the input so far
  };
  std::vector<Pattern> patterns_;
  std::string held_;  // the longest end of the input that begins a stop string
  std::string matched_;
};

}  // namespace moraine::server
