// A program's options, declared once: how each is spelled, what it takes, where the value goes, its
// environment names and its help. From this one table come parsing (parser.h), suggestions (suggest.h),
// --help and the documentation (render.h). Knows no option by name: the tables are their owners'.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/options/value.h"

namespace moraine::options {

// What giving an option comes to.
enum class Support {
  kFull,     // it does what its help says
  kAlready,  // it asks for what is so anyway, or what nothing else can be; the note says so
  kPlanned,  // what it asks for is still to come; the note says what happens instead
  kNone,     // it has no meaning in this program; giving it is warned of, once
};

struct Option {
  // "-c" and "--ctx-size", in the order they are shown. The first long one names the option.
  std::vector<std::string> names;
  std::vector<std::string> off_names;  // of a switch: spellings that say "no"
  std::string value_name;              // "N"; empty for a switch
  bool value_optional = false;         // "-fa" alone: as if `bare` followed
  std::string bare;
  bool is_list = false;            // each use adds to the last one instead of replacing it
  Value value;                     // of a switch: takes "on" and "off"
  std::string help;                // a phrase without a full stop
  std::string standard;            // the default, as shown; empty where there is none to show
  std::vector<std::string> env;    // beside MORAINE_<NAME>: llama-server's names
  bool command_line_only = false;  // the environment does not count
  std::string section;
  unsigned commands = 0;  // bits; who takes it
  Support support = Support::kFull;
  // What the value given came to, as a clause for the user; empty: nothing to say. Options whose notes
  // are equal share a line.
  std::function<std::string(std::string_view value)> note;

  bool is_switch() const noexcept { return value_name.empty(); }
  const std::string& name() const noexcept;  // "--ctx-size"
  std::string own_env() const;               // "MORAINE_CTX_SIZE"
};

// Refines the option that Table::add has just made.
class Declared {
 public:
  explicit Declared(Option& option) : option_(option) {}
  Declared& off(std::string_view names);  // "--no-mmap, -nm"
  Declared& env(std::string name);
  Declared& standard(std::string text);
  Declared& list();
  Declared& command_line_only();
  Declared& only(unsigned commands);
  Declared& note(std::string text);
  Declared& note(std::function<std::string(std::string_view)> text);
  Declared& already(std::string text);
  Declared& planned(std::string text);
  Declared& no_effect(std::string text);

 private:
  Option& option_;
};

class Table {
 public:
  // For the options added from here on. `commands`: bits of those that take them.
  void section(std::string title, unsigned commands);

  // `spelling` is what help shows: "-c, --ctx-size N", "--metrics", "-fa, --flash-attn [on|off|auto]"
  // (the value may be left out, which means `on`).
  Declared add(std::string_view spelling, Value value, std::string help);

  const std::deque<Option>& options() const noexcept { return options_; }

  struct Match {
    const Option* option = nullptr;  // null: no such option for this command
    bool off = false;                // by a spelling that says "no"
  };
  Match find(std::string_view name, unsigned command) const noexcept;

  // Throws std::logic_error where a spelling stands for two options of a command: for tests.
  void check_unique() const;

 private:
  std::deque<Option> options_;  // a deque: Declared points into it
  std::string section_;
  unsigned commands_ = ~0u;
};

}  // namespace moraine::options
