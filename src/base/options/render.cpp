#include "base/options/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace moraine::options {
namespace {

constexpr int kNameColumn = 30;

std::string spelling(const Option& o) {
  std::string s = fmt::format("{}", fmt::join(o.names, ", "));
  if (!o.value_name.empty()) s += " " + o.value_name;
  for (const std::string& off : o.off_names) s += ", " + off;
  return s;
}

std::string explanation(const Option& o) {
  std::string s = o.help;
  if (!o.standard.empty()) s += fmt::format(" (default: {})", o.standard);
  if (o.support == Support::kAlready || o.support == Support::kPlanned) {
    const std::string note = o.note ? o.note("") : "";
    if (!note.empty()) s += (o.support == Support::kPlanned ? "; not yet: " : "; ") + note;
  }
  return s;
}

// Pipes end a cell of a Markdown table; angle brackets are HTML.
std::string cell(std::string_view text) {
  std::string s;
  for (const char c : text) {
    if (c == '|') s += '\\';
    if (c == '<') {
      s += "&lt;";
      continue;
    }
    s += c;
  }
  return s;
}

// Within a code span angle brackets are plain.
std::string code(std::string_view text) {
  std::string s = "`";
  for (const char c : text) {
    if (c == '|') s += '\\';
    s += c;
  }
  return s + "`";
}

std::vector<std::string> sections(const Table& table) {
  std::vector<std::string> titles;
  for (const Option& o : table.options())
    if (std::find(titles.begin(), titles.end(), o.section) == titles.end()) titles.push_back(o.section);
  return titles;
}

}  // namespace

std::string wrap(std::string_view text, int width, int indent) {
  std::string out;
  int column = indent;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const int length = static_cast<int>(word.size());
    if (column > indent && column + 1 + length > width) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += length;
  }
  return out;
}

std::string help(const Table& table, unsigned command, const HelpStyle& style) {
  std::string out;
  const auto begin_section = [&](const std::string& title) {
    out += (style.heading ? style.heading(title) : title) + "\n";
  };
  std::vector<std::string> without_effect;
  using Noted = std::vector<std::pair<std::string, std::string>>;  // a note and the options it speaks of
  Noted so_anyway, to_come;
  const auto add_note = [](Noted& notes, const Option& o) {
    const std::string note = o.note("");
    const auto at =
        std::find_if(notes.begin(), notes.end(), [&](const auto& entry) { return entry.first == note; });
    if (at == notes.end())
      notes.emplace_back(note, o.names.front());
    else
      at->second += " " + o.names.front();
  };
  const auto show_notes = [&](const char* title, const Noted& notes) {
    if (notes.empty()) return;
    begin_section(title);
    for (const auto& [note, names] : notes)
      out += "  " + wrap(names, style.width, 2) + "\n      " + wrap(note, style.width, 6) + "\n";
    out += "\n";
  };
  for (const std::string& title : sections(table)) {
    bool begun = false;
    for (const Option& o : table.options()) {
      if (o.section != title || !(o.commands & command)) continue;
      if (o.support == Support::kNone) {
        without_effect.push_back(o.name());
      } else if (o.support != Support::kFull) {
        add_note(o.support == Support::kPlanned ? to_come : so_anyway, o);
      } else {
        if (!std::exchange(begun, true)) begin_section(title);
        std::string line = "  " + spelling(o);
        // A short spelling shares its line with the text; a long one stands alone.
        if (static_cast<int>(line.size()) + 2 > kNameColumn)
          line += "\n" + std::string(kNameColumn, ' ');
        else
          line.resize(kNameColumn, ' ');
        out += line + wrap(explanation(o), style.width, kNameColumn) + "\n";
      }
    }
    if (begun) out += "\n";
  }
  show_notes("Accepted, and so anyway", so_anyway);
  show_notes("Accepted, still to come", to_come);
  if (!without_effect.empty()) {
    begin_section("Accepted for the sake of other programs' command lines, without effect");
    out += "  " + wrap(fmt::format("{}", fmt::join(without_effect, " ")), style.width, 2) + "\n\n";
  }
  return out;
}

std::string markdown(const Table& table, const std::function<std::string(unsigned)>& command_name) {
  std::string out;
  for (const std::string& title : sections(table)) {
    out +=
        fmt::format("\n## {}\n\n| Option | Meaning | Commands | Environment |\n|---|---|---|---|\n", title);
    for (const Option& o : table.options()) {
      if (o.section != title) continue;
      std::vector<std::string> names, commands, envs;
      if (!o.command_line_only) envs.push_back(code(o.own_env()));
      for (const std::string& n : o.names) names.push_back(code(n));
      if (!o.value_name.empty()) names.back() = code(o.names.back() + " " + o.value_name);
      for (const std::string& n : o.off_names) names.push_back(code(n));
      for (unsigned bit = 1; bit != 0; bit <<= 1)
        if ((o.commands & bit) && !command_name(bit).empty()) commands.push_back(command_name(bit));
      for (const std::string& e : o.env) envs.push_back(code(e));
      std::string text = cell(explanation(o));
      if (o.support == Support::kNone) {
        const std::string note = o.note ? o.note("") : "";
        text += note.empty() ? "; no effect" : "; no effect: " + cell(note);
      }
      out += fmt::format("| {} | {} | {} | {} |\n", fmt::join(names, "<br>"), text, fmt::join(commands, ", "),
                         fmt::join(envs, "<br>"));
    }
  }
  return out;
}

}  // namespace moraine::options
