// The commands: their names, what help says of them, and who runs them. Their options are option_table.h.
#pragma once

#include <span>
#include <string_view>

#include "app.h"
#include "option_table.h"

namespace moraine::app {

struct CommandInfo {
  const char* name;  // of one word, or two: "bench ops"
  Command command;
  const char* usage;
  const char* summary;
  int (*run)(Invocation&);
  const char* details = "";  // what help adds to the summary
};

std::span<const CommandInfo> commands() noexcept;
const CommandInfo* find_command(std::string_view name) noexcept;  // null: there is none

}  // namespace moraine::app
