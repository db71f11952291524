#include "system/boot_settings.h"

#include <algorithm>
#include <functional>

#include "system/text.h"

namespace moraine::system {
namespace {

bool is_comment(std::string_view line) {
  line = trim(line);
  return line.empty() || line.front() == '#';
}

bool is_modprobe(std::string_view path) { return path.starts_with("/etc/modprobe.d/"); }

// A word of a command line ends at blanks and quotes.
constexpr std::string_view kWordEnds = " \t\r\n\"'";

// Where the word "name=..." begins and ends in `line` from `from` on; npos: nowhere.
struct Span {
  size_t begin = std::string_view::npos, end = 0;
};
Span find_word(std::string_view line, std::string_view name, size_t from = 0) {
  for (size_t at = line.find(name, from); at != std::string_view::npos; at = line.find(name, at + 1)) {
    const size_t after = at + name.size();
    const bool begins = at == 0 || kWordEnds.find(line[at - 1]) != std::string_view::npos ||
                        line[at - 1] == '=';  // KEY=word, without quotes
    if (!begins || after >= line.size() || line[after] != '=') continue;
    return {at, std::min(line.find_first_of(kWordEnds, after), line.size())};
  }
  return {};
}

std::string module_of(std::string_view name) { return std::string(name.substr(0, name.find('.'))); }
std::string parameter_of(std::string_view name) {
  const size_t dot = name.find('.');
  return std::string(dot == std::string_view::npos ? name : name.substr(dot + 1));
}

// "options ttm pages_limit=5 ..."
bool is_options_of(std::string_view line, std::string_view module) {
  const auto words = words_of(line);
  return words.size() >= 2 && words[0] == "options" && words[1] == module;
}

using LineEdit = std::function<void(std::string& line)>;
std::string for_each_line(std::string_view text, const LineEdit& edit) {
  std::string out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string line(text.substr(0, end));
    if (!is_comment(line)) edit(line);
    out += line;
    if (end != std::string_view::npos) out += '\n';
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}

std::string without_lines(std::string_view text, const std::function<bool(std::string_view)>& gone) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    if (!gone(text.substr(0, end))) out += text.substr(0, end);
    text.remove_prefix(end);
  }
  return out;
}

// Sets `name` where the line has it already, or takes it out. True: it was there.
bool change_in_line(std::string& line, std::string_view name, const std::optional<std::string>& value) {
  bool was_there = false;
  for (Span s = find_word(line, name); s.begin != std::string_view::npos;) {
    if (value && !was_there) {
      const std::string word = std::string(name) + "=" + *value;
      line.replace(s.begin, s.end - s.begin, word);
      s = find_word(line, name, s.begin + word.size());
    } else {  // with the blank before it, or the one after it at the beginning
      const bool blank_before = s.begin > 0 && line[s.begin - 1] == ' ';
      const bool blank_after = s.end < line.size() && line[s.end] == ' ';
      const size_t begin = s.begin - (blank_before ? 1 : 0);
      line.erase(begin, s.end - begin + (!blank_before && blank_after ? 1 : 0));
      s = find_word(line, name, begin);
    }
    was_there = true;
  }
  return was_there;
}

// Changes what is there; what is nowhere, `append` puts into the first line that `takes` it. Empty where no
// line does, or where that line could not be changed.
std::optional<std::string> edit_lines(std::string_view text, const std::vector<Change>& changes,
                                      const std::function<bool(std::string_view)>& takes,
                                      const std::function<bool(std::string&, std::string_view)>& append) {
  std::string out(text);
  for (const Change& c : changes) {
    bool placed = !c.value, failed = false;
    out = for_each_line(out, [&](std::string& line) { placed |= change_in_line(line, c.name, c.value); });
    if (placed) continue;
    out = for_each_line(out, [&](std::string& line) {
      if (placed || failed || !takes(line)) return;
      placed = append(line, c.name + "=" + *c.value);
      failed = !placed;
    });
    if (!placed) return std::nullopt;
  }
  return out;
}

bool append_word(std::string& line, std::string_view word) {
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.pop_back();
  line += ' ';
  line += word;
  return true;
}

std::string with_line(std::string_view text, std::string_view line) {
  std::string out(text);
  if (!out.empty() && out.back() != '\n') out += '\n';
  return out.append(line).append("\n");
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

std::vector<Setting> find_settings(const BootFacts& boot, std::string_view name) {
  std::vector<Setting> found;
  for (const ConfigFile& file : boot.files) {
    const bool modprobe = is_modprobe(file.path);
    const std::string module = module_of(name), word = modprobe ? parameter_of(name) : std::string(name);
    for (const std::string_view line : lines_of(file.text)) {
      if (is_comment(line) || (modprobe && !is_options_of(line, module))) continue;
      for (Span s = find_word(line, word); s.begin != std::string_view::npos;
           s = find_word(line, word, s.end)) {
        Setting setting{file.path, std::string(name),
                        printable(line.substr(s.begin + word.size() + 1, s.end - s.begin - word.size() - 1))};
        // A boot menu's many entries that say the same are one setting.
        const bool known = std::any_of(found.begin(), found.end(), [&](const Setting& other) {
          return other.path == setting.path && other.value == setting.value;
        });
        if (!known) found.push_back(std::move(setting));
      }
    }
  }
  return found;
}

std::optional<std::string> command_line_value(std::string_view command_line, std::string_view name) {
  std::optional<std::string> value;
  for (Span s = find_word(command_line, name); s.begin != std::string_view::npos;
       s = find_word(command_line, name, s.end))
    value = std::string(command_line.substr(s.begin + name.size() + 1, s.end - s.begin - name.size() - 1));
  return value;
}

bool has_word(std::string_view command_line, std::string_view word) {
  const auto words = words_of(command_line);
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string words_to_add(const std::vector<Change>& changes) {
  std::string words;
  for (const Change& c : changes)
    if (c.value) words += (words.empty() ? "" : " ") + c.name + "=" + *c.value;
  return words;
}

std::optional<std::string> edit_grub_defaults(std::string_view text, const std::vector<Change>& changes) {
  constexpr std::string_view kKey = "GRUB_CMDLINE_LINUX_DEFAULT=";
  const auto takes = [&](std::string_view line) { return trim(line).starts_with(kKey); };
  // Inside the quotes; a value without any is given some.
  const auto append = [&](std::string& line, std::string_view word) {
    const size_t begin = line.find(kKey) + kKey.size();
    const std::string value(trim(std::string_view(line).substr(begin)));
    const bool quoted = !value.empty() && (value.front() == '"' || value.front() == '\'');
    if (quoted && (value.size() < 2 || value.back() != value.front() ||
                   value.find(value.front(), 1) != value.size() - 1))
      return false;  // goes on in the next line, or has quotes or a comment inside
    if (!quoted && value.find_first_of(" \t\"'\\") != std::string::npos) return false;
    const std::string inside = quoted ? value.substr(1, value.size() - 2) : value;
    const char quote = quoted ? value.front() : '"';
    const std::string all = inside.empty() ? std::string(word) : inside + " " + std::string(word);
    line = line.substr(0, begin) + quote + all + quote;
    return true;
  };
  const auto lines = lines_of(text);
  if (std::none_of(lines.begin(), lines.end(), [&](auto line) { return !is_comment(line) && takes(line); }))
    return edit_lines(with_line(text, std::string(kKey) + "\"\""), changes, takes, append);
  return edit_lines(text, changes, takes, append);
}

std::optional<std::string> edit_limine_conf(std::string_view text, const std::vector<Change>& changes) {
  const auto takes = [](std::string_view line) {
    const std::string key = lower(trim(line.substr(0, line.find(':'))));
    return line.find(':') != std::string_view::npos && (key == "cmdline" || key == "kernel_cmdline");
  };
  bool any = false;
  std::string out = for_each_line(text, [&](std::string& line) {
    const bool is_command_line = takes(line);  // each entry of the menu has one of its own
    any |= is_command_line;
    for (const Change& c : changes)
      if (!change_in_line(line, c.name, c.value) && is_command_line && c.value)
        append_word(line, c.name + "=" + *c.value);
  });
  return any ? std::optional(std::move(out)) : std::nullopt;
}

std::optional<std::string> edit_limine_tool_conf(std::string_view text, const std::vector<Change>& changes) {
  std::string out(text);
  std::vector<Change> missing;
  for (const Change& c : changes) {
    bool placed = !c.value;
    out = for_each_line(out, [&](std::string& line) { placed |= change_in_line(line, c.name, c.value); });
    if (!placed) missing.push_back(c);
  }
  if (!missing.empty()) out = with_line(out, "KERNEL_CMDLINE[default]+=\" " + words_to_add(missing) + "\"");
  return out;
}

std::optional<std::string> edit_kernel_cmdline(std::string_view text, const std::vector<Change>& changes) {
  return edit_lines(text, changes, [](std::string_view) { return true; }, append_word);
}

std::optional<std::string> edit_loader_entry(std::string_view text, const std::vector<Change>& changes) {
  const auto takes = [](std::string_view line) {  // several such lines add up
    const auto words = words_of(line);
    return !words.empty() && words[0] == "options";
  };
  return edit_lines(text, changes, takes, append_word);
}

std::optional<std::string> edit_modprobe_conf(std::string_view text, const std::vector<Change>& changes) {
  std::string out(text);
  for (const Change& c : changes) {
    const std::string module = module_of(c.name), parameter = parameter_of(c.name);
    bool placed = !c.value;
    out = for_each_line(out, [&](std::string& line) {
      if (is_options_of(line, module)) placed |= change_in_line(line, parameter, c.value);
    });
    // "options amdgpu" alone says nothing.
    if (!c.value)
      out = without_lines(out, [&](std::string_view line) {
        return words_of(line).size() == 2 && is_options_of(line, module);
      });
    if (!placed) out = with_line(out, "options " + module + " " + parameter + "=" + *c.value);
  }
  return out;
}

}  // namespace moraine::system
