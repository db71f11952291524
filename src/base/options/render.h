// The table of options as text: the list that --help prints, and the page of the documentation.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/options/option.h"

namespace moraine::options {

struct HelpStyle {
  int width = 100;                                       // columns
  std::function<std::string(std::string_view)> heading;  // makes a section's title stand out; empty: as it is
};

// What `command` takes, by section. Options without a meaning here are named together at the end.
std::string help(const Table& table, unsigned command, const HelpStyle& style);

// All options of all commands; `command_name` gives the word for each bit in use.
std::string markdown(const Table& table, const std::function<std::string(unsigned command)>& command_name);

// `text` in lines of at most `width`, all but the first begun by `indent` spaces.
std::string wrap(std::string_view text, int width, int indent);

}  // namespace moraine::options
