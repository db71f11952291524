#include "base/options/option.h"

#include <algorithm>
#include <stdexcept>

namespace moraine::options {
namespace {

// "-c, --ctx-size" to its parts.
std::vector<std::string> names_of(std::string_view list) {
  std::vector<std::string> names;
  for (std::string& piece : split(list, ',')) {
    piece.erase(0, piece.find_first_not_of(' '));
    piece.erase(piece.find_last_not_of(' ') + 1);
    names.push_back(std::move(piece));
  }
  return names;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const std::string& Option::name() const noexcept {
  for (const std::string& n : names)
    if (n.starts_with("--")) return n;
  return names.front();
}

std::string Option::own_env() const {
  std::string env = "MORAINE_";
  for (const char c : name().substr(name().find_first_not_of('-')))
    env += c == '-' || c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return env;
}

Declared& Declared::off(std::string_view names) {
  option_.off_names = names_of(names);
  return *this;
}
Declared& Declared::env(std::string name) {
  option_.env.push_back(std::move(name));
  return *this;
}
Declared& Declared::standard(std::string text) {
  option_.standard = std::move(text);
  return *this;
}
Declared& Declared::list() {
  option_.is_list = true;
  return *this;
}
Declared& Declared::command_line_only() {
  option_.command_line_only = true;
  return *this;
}
Declared& Declared::only(unsigned commands) {
  option_.commands = commands;
  return *this;
}
Declared& Declared::note(std::string text) {
  return note([text = std::move(text)](std::string_view) { return text; });
}
Declared& Declared::note(std::function<std::string(std::string_view)> text) {
  option_.note = std::move(text);
  return *this;
}
Declared& Declared::already(std::string text) {
  option_.support = Support::kAlready;
  return note(std::move(text));
}
Declared& Declared::planned(std::string text) {
  option_.support = Support::kPlanned;
  return note(std::move(text));
}
Declared& Declared::no_effect(std::string text) {
  option_.support = Support::kNone;
  return note(std::move(text));
}

void Table::section(std::string title, unsigned commands) {
  section_ = std::move(title);
  commands_ = commands;
}

Declared Table::add(std::string_view spelling, Value value, std::string help) {
  Option o;
  std::string_view names = spelling;
  // The value's name follows the last spelling after a space.
  const size_t last = spelling.rfind(", ");
  const size_t space = spelling.find(' ', last == std::string_view::npos ? 0 : last + 2);
  if (space != std::string_view::npos) {
    names = spelling.substr(0, space);
    o.value_name = spelling.substr(space + 1);
    if (o.value_name.starts_with('[')) o.value_optional = true, o.bare = "on";
  }
  o.names = names_of(names);
  o.value = std::move(value);
  o.help = std::move(help);
  o.section = section_;
  o.commands = commands_;
  options_.push_back(std::move(o));
  return Declared(options_.back());
}

Table::Match Table::find(std::string_view name, unsigned command) const noexcept {
  for (const Option& o : options_) {
    if (!(o.commands & command)) continue;
    if (contains(o.names, name)) return {&o, false};
    if (contains(o.off_names, name)) return {&o, true};
  }
  return {};
}

void Table::check_unique() const {
  for (const Option& o : options_)
    for (const auto* names : {&o.names, &o.off_names})
      for (const std::string& name : *names)
        for (unsigned command = 1; command != 0; command <<= 1)
          if ((o.commands & command) && find(name, command).option != &o)
            throw std::logic_error("two options are spelled " + name);
}

}  // namespace moraine::options
