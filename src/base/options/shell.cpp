#include "base/options/shell.h"

#include <fmt/format.h>

#include <algorithm>

namespace moraine::options {
namespace {

bool is_offered(const Option& o, unsigned command) {
  return (o.commands & command) && o.support == Support::kFull;
}

std::vector<std::string> spellings(const Option& o) {
  std::vector<std::string> all = o.names;
  all.insert(all.end(), o.off_names.begin(), o.off_names.end());
  return all;
}

// Inside single quotes of a shell.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

// "name:description" of zsh's _describe.
std::string described(std::string_view name, std::string_view description) {
  std::string out;
  for (const char c : name) {
    if (c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return quoted(fmt::format("{}:{}", out, description));
}

std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  // A line of text must not be taken for a request.
  if (!out.empty() && (out.front() == '.' || out.front() == '\'')) out.insert(0, "\\&");
  return out;
}

std::string roff_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += roff(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

// A command of two words, such as "bench agents", parted; the second is empty for one word.
std::pair<std::string, std::string> words_of(const ProgramCommand& c) {
  const size_t space = c.name.find(' ');
  if (space == std::string::npos) return {c.name, ""};
  return {c.name.substr(0, space), c.name.substr(space + 1)};
}

}  // namespace

std::string bash_completion(const Table& table, const Program& program) {
  std::string names, two_words, one_word;
  for (const ProgramCommand& c : program.commands) {
    const auto [first, second] = words_of(c);
    std::string words;
    for (const Option& o : table.options())
      if (is_offered(o, c.bit))
        for (const std::string& name : spellings(o)) words += (words.empty() ? "" : " ") + name;
    if (second.empty()) names += first + " ";
    // Of two words goes before the one whose beginning it is.
    (second.empty() ? one_word : two_words) += fmt::format(
        "    {}) options={} ;;\n", second.empty() ? first + "\\ *" : first + "\\ " + second, quoted(words));
  }
  return fmt::format(
      "# Completion of {0} for bash: {0} completions bash > ~/.local/share/bash-completion/completions/{0}\n"
      "_{0}() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} options=\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W '{1}help --version' -- \"$current\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}\" in\n"
      "    help\\ *) COMPREPLY=($(compgen -W '{1}' -- \"$current\")); return ;;\n"
      "{2}{3}"
      "  esac\n"
      "  case $current in\n"
      "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$current\")) ;;\n"
      "    *) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
      "  esac\n"
      "}}\n"
      "complete -o filenames -F _{0} {0}\n",
      program.name, names, two_words, one_word);
}

std::string zsh_completion(const Table& table, const Program& program) {
  std::string commands, two_words, one_word;
  for (const ProgramCommand& c : program.commands) {
    const auto [first, second] = words_of(c);
    if (second.empty()) commands += "  " + described(c.name, c.summary) + "\n";
    std::string& cases = second.empty() ? one_word : two_words;
    cases += fmt::format("  {}) options=(\n", second.empty() ? first + "\\ *" : first + "\\ " + second);
    for (const Option& o : table.options())
      if (is_offered(o, c.bit))
        for (const std::string& name : spellings(o)) cases += "    " + described(name, o.help) + "\n";
    cases += "  ) ;;\n";
  }
  return fmt::format(
      "#compdef {0}\n"
      "# Completion of {0} for zsh: put it as _{0} into a folder of $fpath.\n"
      "local -a commands options\n"
      "commands=(\n{1})\n"
      "if (( CURRENT == 2 )); then\n"
      "  _describe command commands\n"
      "  return\n"
      "fi\n"
      "case \"$words[2] $words[3]\" in\n{2}{3}esac\n"
      "if [[ $words[CURRENT] == -* ]]; then\n"
      "  _describe -o option options\n"
      "else\n"
      "  _files\n"
      "fi\n",
      program.name, commands, two_words, one_word);
}

std::string fish_completion(const Table& table, const Program& program) {
  std::string out = fmt::format(
      "# Completion of {0} for fish: {0} completions fish > ~/.config/fish/completions/{0}.fish\n",
      program.name);
  for (const ProgramCommand& c : program.commands) {
    const auto [first, second] = words_of(c);
    const std::string when =
        second.empty() ? "__fish_use_subcommand" : "'__fish_seen_subcommand_from " + first + "'";
    out += fmt::format("complete -c {} -n {} -a {} -d {}\n", program.name, when,
                       second.empty() ? first : second, quoted(c.summary));
  }
  for (const ProgramCommand& c : program.commands)
    for (const Option& o : table.options()) {
      if (!is_offered(o, c.bit)) continue;
      std::string names;
      for (const std::string& name : spellings(o)) {
        const bool two_dashes = name.starts_with("--");
        names += fmt::format(" {} {}",
                             two_dashes         ? "-l"
                             : name.size() == 2 ? "-s"
                                                : "-o",
                             name.substr(two_dashes ? 2 : 1));
      }
      const auto [first, second] = words_of(c);
      out += fmt::format("complete -c {} -n '__fish_seen_subcommand_from {}'{}{} -d {}\n", program.name,
                         second.empty() ? first : second, names,
                         o.is_switch() || o.value_optional ? "" : " -r", quoted(o.help));
    }
  return out;
}

std::string man_page(const Table& table, const Program& program) {
  std::string out =
      fmt::format(".TH {} 1 \"\" \"{} {}\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n", upper(program.name),
                  program.name, roff(program.version), program.name, roff(program.summary));
  for (const ProgramCommand& c : program.commands)
    out += fmt::format(".B {} {}\n{}\n.br\n", program.name, c.name, roff(c.usage));
  out += ".SH COMMANDS\n";
  for (const ProgramCommand& c : program.commands) {
    out += fmt::format(".TP\n.B {}\n{}\n", c.name, roff(c.summary));
    if (!c.details.empty()) out += ".RS\n.nf\n" + roff_lines(c.details) + ".fi\n.RE\n";
  }
  out += ".SH OPTIONS\nEach names the commands that take it.\n";
  std::string section;
  for (const Option& o : table.options()) {
    std::string commands;
    for (const ProgramCommand& c : program.commands)
      if (is_offered(o, c.bit)) commands += (commands.empty() ? "" : ", ") + c.name;
    if (commands.empty()) continue;
    if (o.section != section) out += fmt::format(".SS {}\n", roff(section = o.section));
    std::string names;
    for (const std::string& name : spellings(o)) names += (names.empty() ? "" : ", ") + name;
    out += fmt::format(".TP\n.B {}{}\n{}{} ({})\n", roff(names),
                       o.value_name.empty() ? "" : " \\fI" + roff(o.value_name) + "\\fR", roff(o.help),
                       o.standard.empty() ? "" : "; default: " + roff(o.standard), commands);
  }
  out +=
      ".SH ENVIRONMENT\nEvery option can be set as MORAINE_ and its long name, such as MORAINE_CTX_SIZE=4096 "
      "for "
      "\\-\\-ctx\\-size 4096; the command line counts more.\n";
  return out;
}

}  // namespace moraine::options
