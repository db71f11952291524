// Reads a command line and the environment by a table of options: values go where the table says, and
// what was given is listed. Precedence: the command line, then MORAINE_<NAME>, then llama-server's
// environment name, then the default.
#pragma once

#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/options/option.h"

namespace moraine::options {

// A command line that cannot be meant as it stands. The message names the option and what it accepts.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Given {
  const Option* option = nullptr;
  std::string value;  // of a switch: "on" or "off"
  std::string shown;  // as the user wrote it: "-ngl 999", "LLAMA_ARG_PORT=80"
  bool from_env = false;
};

struct Parsed {
  std::vector<Given> given;  // each option once, its last use (of a list: each use), in order
  std::vector<std::string> positionals;

  const Given* find(std::string_view name) const noexcept;  // by a spelling; null where not given
};

using Environment = std::function<const char*(const std::string& name)>;  // null: not set

// Spellings: -c 1, --ctx-size 1, --ctx-size=1, --ctx_size 1; a value may begin with a dash unless it
// is itself an option (then write --name=VALUE); `--` ends the options. Throws UsageError.
Parsed parse(const Table& table, unsigned command, std::span<const std::string> args, const Environment& env);

}  // namespace moraine::options
