#include "base/options/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/options/suggest.h"

namespace moraine::options {
namespace {

// An argument taken apart: "--port=80" is the name "--port" with the value "80".
struct Argument {
  std::string name;
  std::optional<std::string> value;
};

bool looks_like_option(std::string_view arg) { return arg.size() > 1 && arg.front() == '-'; }

// A dash that a word processor or a web page made of two hyphens.
bool has_typographic_dash(std::string_view arg) {
  return arg.starts_with("\xE2\x80\x93") || arg.starts_with("\xE2\x80\x94") ||
         arg.starts_with("\xE2\x88\x92");
}

class Parser {
 public:
  Parser(const Table& table, unsigned command) : table_(table), command_(command) {}

  Parsed run(std::span<const std::string> args, const Environment& env) {
    for (size_t i = 0; i < args.size(); ++i) {
      if (args[i] == "--") {
        parsed_.positionals.insert(parsed_.positionals.end(), args.begin() + i + 1, args.end());
        break;
      }
      if (has_typographic_dash(args[i]))
        throw UsageError(fmt::format(
            "{} begins with a long dash, as text programs make of \"--\"; type \"--\" instead", args[i]));
      if (!looks_like_option(args[i])) {
        parsed_.positionals.push_back(args[i]);
        continue;
      }
      i += take(args, i);
    }
    for (const Option& o : table_.options())
      if ((o.commands & command_) && !o.command_line_only && !given(o)) take_from(env, o);
    return std::move(parsed_);
  }

 private:
  bool is_known(std::string_view arg) const {
    const std::string name = normal(arg.substr(0, arg.find('=')));
    return table_.find(name, command_).option != nullptr;
  }

  // llama-server reads underscores in long names as dashes.
  static std::string normal(std::string_view name) {
    std::string n(name);
    if (n.starts_with("--")) std::replace(n.begin(), n.end(), '_', '-');
    return n;
  }

  // "START END" takes two arguments; "[on|off]" and "N" one.
  static size_t value_count(const Option& o) {
    return 1 + static_cast<size_t>(std::count(o.value_name.begin(), o.value_name.end(), ' '));
  }

  bool given(const Option& o) const {
    return std::any_of(parsed_.given.begin(), parsed_.given.end(),
                       [&](const Given& g) { return g.option == &o; });
  }

  // Takes the option at args[i]; returns how many further arguments it used.
  size_t take(std::span<const std::string> args, size_t i) {
    const size_t equals = args[i].find('=');
    Argument a{normal(args[i].substr(0, equals)), std::nullopt};
    if (equals != std::string::npos) a.value = args[i].substr(equals + 1);
    const Table::Match match = table_.find(a.name, command_);
    if (match.option == nullptr) throw_unknown(args[i], a.name);
    const Option& o = *match.option;

    std::string value, shown = args[i];
    size_t used = 0;
    if (o.is_switch()) {
      const auto on = a.value ? parse_bool(*a.value) : true;
      if (!on) throw UsageError(fmt::format("{} must be on or off, not \"{}\"", a.name, *a.value));
      value = *on != match.off ? "on" : "off";
    } else if (a.value) {
      value = *a.value;
    } else if (o.value_optional) {
      // The value may be left out: what follows is one only if it reads as one.
      const bool follows = i + 1 < args.size() && !is_known(args[i + 1]) && o.value.set(args[i + 1]);
      value = follows ? args[i + 1] : o.bare;
      used = follows ? 1 : 0;
    } else {
      for (const size_t wanted = value_count(o); used < wanted; ++used) {
        const size_t next = i + 1 + used;
        if (next >= args.size())
          throw UsageError(fmt::format("{} needs a value: {} {}", a.name, a.name, o.value_name));
        if (is_known(args[next]))
          throw UsageError(
              fmt::format("{} needs a value ({}), but {} follows; if that is the value, write {}={}", a.name,
                          o.value_name, args[next], o.name(), args[next]));
        value += (used ? " " : "") + args[next];
      }
    }
    for (size_t k = 1; k <= used; ++k) shown += " " + args[i + k];
    apply(o, value, shown, a.name, false);
    return used;
  }

  void take_from(const Environment& env, const Option& o) {
    std::vector<std::string> names = {o.own_env()};
    names.insert(names.end(), o.env.begin(), o.env.end());
    for (const std::string& name : names) {
      if (const char* value = env(name); value != nullptr && *value != '\0') {
        apply(o, value, fmt::format("{}={}", name, value), name, true);
        return;
      }
      // LLAMA_ARG_NO_MMAP, set to anything, is --no-mmap.
      if (o.off_names.empty() || !name.starts_with("LLAMA_ARG_")) continue;
      const std::string no = "LLAMA_ARG_NO_" + name.substr(10);
      if (const char* value = env(no); value != nullptr) {
        apply(o, "off", fmt::format("{}={}", no, value), no, true);
        return;
      }
    }
  }

  void apply(const Option& o, std::string value, std::string shown, const std::string& named, bool from_env) {
    if (!o.value.set(value))
      throw UsageError(fmt::format("{} must be {}, not \"{}\"", named, o.value.accepts, value));
    if (o.is_switch()) value = parse_bool(value).value_or(true) ? "on" : "off";
    if (!o.is_list) std::erase_if(parsed_.given, [&](const Given& g) { return g.option == &o; });
    parsed_.given.push_back({&o, std::move(value), std::move(shown), from_env});
  }

  [[noreturn]] void throw_unknown(const std::string& arg, const std::string& name) const {
    for (unsigned other = 1; other != 0; other <<= 1)
      if (table_.find(name, other).option != nullptr)
        throw UsageError(fmt::format("{} is an option of another command, not of this one", name));
    // "-c8192": the value without its space.
    const size_t digits = arg.find_first_of("0123456789");
    if (digits != std::string::npos && digits > 1)
      if (const auto m = table_.find(arg.substr(0, digits), command_); m.option && !m.option->is_switch())
        throw UsageError(fmt::format("unknown option {}; did you mean {} {}?", arg, arg.substr(0, digits),
                                     arg.substr(digits)));
    std::vector<std::string> words;
    for (const Option& o : table_.options()) {
      if (!(o.commands & command_)) continue;
      words.insert(words.end(), o.names.begin(), o.names.end());
      words.insert(words.end(), o.off_names.begin(), o.off_names.end());
    }
    const std::string suggestion = nearest(name, words);
    throw UsageError(suggestion.empty()
                         ? fmt::format("unknown option {}", name)
                         : fmt::format("unknown option {}; did you mean {}?", name, suggestion));
  }

  const Table& table_;
  unsigned command_;
  Parsed parsed_;
};

}  // namespace

const Given* Parsed::find(std::string_view name) const noexcept {
  for (const Given& g : given)
    if (std::find(g.option->names.begin(), g.option->names.end(), name) != g.option->names.end()) return &g;
  return nullptr;
}

Parsed parse(const Table& table, unsigned command, std::span<const std::string> args,
             const Environment& env) {
  return Parser(table, command).run(args, env);
}

}  // namespace moraine::options
