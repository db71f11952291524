// Parameters of the kernel and its modules as they stand in files: finding them, and the same text with one
// changed. Pure functions over text; which files there are is read_boot.cpp, what to change is remedy.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "system/facts.h"

namespace moraine::system {

// "ttm.pages_limit" set to "26214400" in "/etc/default/grub".
struct Setting {
  std::string path, name, value;
};

// Every place in configuration files that sets `name` ("module.parameter").
std::vector<Setting> find_settings(const BootFacts& boot, std::string_view name);
// The value in a kernel command line, its last one; empty where it is not there.
std::optional<std::string> command_line_value(std::string_view command_line, std::string_view name);
bool has_word(std::string_view command_line, std::string_view word);

// What a parameter shall be; without a value it is taken out.
struct Change {
  std::string name;
  std::optional<std::string> value;
};

// `text` with the changes made, comments and all else left as they are; empty where the file is not built
// as it should be (no such line, quotes left open): nobody's boot is risked on a guess.
std::optional<std::string> edit_grub_defaults(std::string_view text, const std::vector<Change>& changes);
std::optional<std::string> edit_limine_conf(std::string_view text, const std::vector<Change>& changes);
std::optional<std::string> edit_limine_tool_conf(std::string_view text, const std::vector<Change>& changes);
std::optional<std::string> edit_kernel_cmdline(std::string_view text, const std::vector<Change>& changes);
std::optional<std::string> edit_loader_entry(std::string_view text, const std::vector<Change>& changes);
std::optional<std::string> edit_modprobe_conf(std::string_view text, const std::vector<Change>& changes);

// "ttm.pages_limit=26214400" of all that have a value.
std::string words_to_add(const std::vector<Change>& changes);

}  // namespace moraine::system
