// The table of options as files for the shell and the manual: completions for bash, zsh and fish, and a man
// page. All come from the same rows as parsing and --help, so that they cannot disagree with the program.
#pragma once

#include <string>
#include <vector>

#include "base/options/option.h"

namespace moraine::options {

struct ProgramCommand {
  std::string name, usage, summary;
  std::string details;  // paragraphs of its help; may be empty
  unsigned bit = 0;     // in Option::commands
};
struct Program {
  std::string name, version, summary;
  std::vector<ProgramCommand> commands;
};

// Options that do something are offered; those accepted for the sake of other programs are not.
std::string bash_completion(const Table& table, const Program& program);
std::string zsh_completion(const Table& table, const Program& program);
std::string fish_completion(const Table& table, const Program& program);
// A page of section 1, in roff.
std::string man_page(const Table& table, const Program& program);

}  // namespace moraine::options
