#include "app.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/options/render.h"
#include "base/options/shell.h"
#include "base/options/suggest.h"
#include "commands.h"
#include "gpu.h"
#include "hub/local_models.h"
#include "model_places.h"
#include "option_table.h"
#include "version.h"

namespace moraine::app {
namespace {

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

bool stdout_has_colors(const options::Environment& env) {
  const char* no_color = env("NO_COLOR");
  const char* term = env("TERM");
  return is_terminal(STDOUT_FILENO) && !(no_color && *no_color) &&
         !(term && std::string_view(term) == "dumb");
}

options::HelpStyle help_style(const options::Environment& env) {
  options::HelpStyle style;
  style.width = std::clamp(terminal_width(STDOUT_FILENO), 60, 110);
  if (stdout_has_colors(env))
    style.heading = [](std::string_view title) { return fmt::format("\x1b[1m{}\x1b[0m", title); };
  return style;
}

std::string overview() {
  std::string text = fmt::format(
      "moraine {}: run language models on this machine, for coding agents and for you.\n\n"
      "  moraine serve MODEL          an OpenAI-compatible server on http://127.0.0.1:8080\n"
      "  moraine run MODEL            a conversation in this terminal\n\n"
      "MODEL is a GGUF file, or a name: moraine list shows those on this disk.\n\nCommands\n",
      version());
  for (const CommandInfo& c : commands())
    if (std::string_view(c.name) != "chat") text += fmt::format("  {:<19}{}\n", c.name, c.summary);
  text +=
      "\n  moraine help COMMAND         its options; any llama-server command line works with serve\n"
      "  moraine --version            which version this is (--verbose: how it was built)\n";
  return text;
}

// Typed alone: what is here, and what to type next.
std::string here_and_next(const options::Environment& env) {
  const std::vector<hub::LocalModel> models = hub::find_local_models(model_roots(env));
  if (models.empty())
    return "\nNo model is on this disk yet. What this machine can hold: moraine doctor; to fetch one: "
           "moraine pull USER/REPO\n";
  std::string names;
  for (size_t i = 0; i < std::min<size_t>(3, models.size()); ++i)
    names += (i ? ", " : "") + models[i].full_name();
  return terminal_safe(
      fmt::format("\nOn this disk: {}{}; next: moraine run {}\n", names,
                  models.size() > 3 ? fmt::format(" and {} more (moraine list)", models.size() - 3) : "",
                  models.front().full_name()));
}

options::Program program() {
  options::Program p{
      "moraine", version(), "run language models on this machine, for coding agents and for you", {}};
  for (const CommandInfo& c : commands())
    p.commands.push_back({c.name, c.usage, c.summary, c.details, c.command});
  return p;
}

int print_version(const std::vector<std::string>& args, Console&) {
  const bool verbose =
      std::any_of(args.begin(), args.end(), [](const auto& a) { return a == "--verbose" || a == "-v"; });
  print(verbose ? verbose_version() : version_line());
  return kOk;
}

int print_completion(const std::vector<std::string>& args, Console& console) {
  Settings settings;
  const options::Table table = option_table(settings);
  const std::string shell = args.empty() ? "" : args[0];
  if (shell == "bash")
    print(options::bash_completion(table, program()));
  else if (shell == "zsh")
    print(options::zsh_completion(table, program()));
  else if (shell == "fish")
    print(options::fish_completion(table, program()));
  else {
    console.error("completions are there for bash, zsh and fish, such as: moraine completions bash");
    return kUsage;
  }
  return kOk;
}

int print_man_page(const std::vector<std::string>&, Console&) {
  Settings settings;
  print(options::man_page(option_table(settings), program()));
  return kOk;
}

int print_options_page(const std::vector<std::string>&, Console&) {
  print(options_page());
  return kOk;
}

// Texts on the program itself. They take no options of the table.
struct Page {
  const char* name;
  const char* usage;
  const char* summary;
  int (*print)(const std::vector<std::string>& args, Console&);  // args: behind the name
};
constexpr Page kPages[] = {
    {"version", "[--verbose]", "which version this is, and how it was built", print_version},
    {"completions", "bash|zsh|fish", "a file for the shell, on standard output", print_completion},
    {"man", "", "the manual page, in roff: moraine man > moraine.1", print_man_page},
    {"options", "[--markdown]", "docs/options.md: the options of all commands", print_options_page},
};

const Page* find_page(std::string_view name) {
  for (const Page& p : kPages)
    if (name == p.name) return &p;
  return nullptr;
}

bool asks_for_help(std::string_view word) {
  return word == "--help" || word == "-h" || word == "--usage";  // as option_table.cpp spells it
}

std::string usage_line(std::string_view name, std::string_view usage) {
  return fmt::format("moraine {}{}{}\n", name, usage.empty() ? "" : " ", usage);
}

int print_command_help(const CommandInfo& c, const options::Environment& env) {
  Settings settings;
  print(
      fmt::format("{}{}\n{}\n{}Every option can be set in the environment too, as MORAINE_CTX_SIZE=4096 for "
                  "--ctx-size;\nllama-server's LLAMA_ARG_... names work as well.\n",
                  usage_line(c.name, c.usage), options::wrap(c.summary, 100, 0), c.details,
                  options::help(option_table(settings), c.command, help_style(env))));
  return kOk;
}

int print_page_help(const Page& p) {
  print(usage_line(p.name, p.usage) + p.summary + "\n");
  return kOk;
}

int unknown_command(const std::string& name, Console& console) {
  if (name.starts_with("-")) {
    console.error(fmt::format("options follow a command, such as: moraine serve {} ...", name));
  } else if (name.ends_with(".gguf") || std::filesystem::exists(std::filesystem::path(name))) {
    console.error(fmt::format("say what to do with it: moraine run {} or moraine serve {}", name, name));
  } else {
    std::vector<std::string> words = {"help"};
    for (const CommandInfo& c : commands()) words.emplace_back(c.name);
    for (const Page& p : kPages) words.emplace_back(p.name);
    const std::string meant = options::nearest(name, words);
    console.error(fmt::format("unknown command {}{}", name,
                              meant.empty() ? "" : fmt::format("; did you mean {}?", meant)));
  }
  console.line("Try `moraine --help`.");
  return kUsage;
}

// The model is -m, or else the first argument; what follows it is `run`'s prompt.
void place_arguments(Invocation& invocation, const CommandInfo& c) {
  std::vector<std::string>& rest = invocation.parsed.positionals;
  if (c.command == kBenchOps) {
    if (!rest.empty()) throw options::UsageError(fmt::format("unexpected argument {}", rest[0]));
    return;
  }
  if (c.command == kBenchAgents) {
    if (rest.size() > 1) throw options::UsageError(fmt::format("unexpected argument {}", rest[1]));
    if (!rest.empty()) invocation.settings.agents.file = rest[0];
    return;
  }
  if (c.command == kEpic) {
    if (rest.empty()) return;
    invocation.settings.epic.command = rest[0];
    invocation.settings.epic.arguments.assign(rest.begin() + 1, rest.end());
    return;
  }
  if (c.command == kCache) {
    invocation.settings.cache.clear = !rest.empty() && rest[0] == "clear";
    const size_t known = !rest.empty() && (rest[0] == "clear" || rest[0] == "show") ? 1 : 0;
    if (rest.size() > known) throw options::UsageError(fmt::format("unexpected argument {}", rest[known]));
    return;
  }
  if (c.command == kConnect || c.command == kLaunch) {
    if (!rest.empty()) invocation.settings.connect.client = rest[0];
    if (c.command == kConnect && rest.size() > 1)
      throw options::UsageError(fmt::format("unexpected argument {}", rest[1]));
    if (rest.size() > 1) invocation.settings.connect.arguments.assign(rest.begin() + 1, rest.end());
    return;
  }
  if (c.command & (kPs | kStop | kLogs | kService | kSelfTest | kMeter)) {
    const size_t most = c.command & (kPs | kSelfTest | kMeter) ? 0 : c.command == kService ? 2 : 1;
    if (rest.size() > most) throw options::UsageError(fmt::format("unexpected argument {}", rest[most]));
    Settings& s = invocation.settings;
    if (c.command == kService) {
      if (!rest.empty()) s.service.command = rest[0];
      if (rest.size() > 1) s.service.model = rest[1];
    } else if (!rest.empty()) {
      s.servers.name = rest[0];
    }
    return;
  }
  if (c.command & (kList | kPull | kRm)) {
    if (rest.size() > 1) throw options::UsageError(fmt::format("unexpected argument {}", rest[1]));
    if (!rest.empty()) invocation.settings.hub.name = rest[0];
    return;
  }
  const options::Given* model = invocation.parsed.find("-m");
  if (model == nullptr || model->from_env)
    if (const options::Given* by_name = invocation.parsed.find("-hf"); by_name && !by_name->from_env)
      model = by_name;
  size_t used = 0;
  if (!rest.empty() && (model == nullptr || model->from_env)) {
    invocation.settings.engine.model_path = rest[0];
    used = 1;
  }
  if (c.command == kRun) {
    for (; used < rest.size(); ++used)
      invocation.prompt += (invocation.prompt.empty() ? "" : " ") + rest[used];
  } else if (used < rest.size()) {
    throw options::UsageError(
        fmt::format("unexpected argument {}: `moraine {}` takes one model, and {} is it", rest[used], c.name,
                    invocation.settings.engine.model_path));
  }
  if (!invocation.settings.engine.model_path.empty()) return;
  for (const char* by_name : {"-mu", "-dr"})
    if (const options::Given* g = invocation.parsed.find(by_name))
      throw options::UsageError(fmt::format("{}: {}", g->shown, g->option->note(g->value)));
}

// What was given without a meaning here gets one line each; notes of what is to come are `serve`'s to
// show in its ready block.
void warn_of_options(const Invocation& invocation, const CommandInfo& c) {
  std::vector<std::pair<std::string, std::string>> lines;  // note, options
  for (const options::Given& g : invocation.parsed.given) {
    const bool warns = g.option->support == options::Support::kNone ||
                       (g.option->support == options::Support::kPlanned && c.command != kServe);
    if (!warns) continue;
    const std::string note = g.option->note(g.value);
    const std::string shown = g.shown.substr(0, g.shown.find_first_of(" ="));  // a value may be a secret
    const auto at = std::find_if(lines.begin(), lines.end(), [&](const auto& l) { return l.first == note; });
    if (at == lines.end())
      lines.emplace_back(note, shown);
    else
      at->second += ", " + shown;
  }
  for (const auto& [note, shown] : lines)
    invocation.console.warn(fmt::format("{}: no effect; {}", shown, note));
}

int run_command(const CommandInfo& c, std::vector<std::string> args, const options::Environment& env,
                Console& console, const LoadEngine& load_engine) {
  Invocation invocation{
      .settings = {}, .parsed = {}, .prompt = {}, .console = console, .env = env, .load_engine = load_engine};
  const options::Table table = option_table(invocation.settings);
  try {
    invocation.parsed = options::parse(table, c.command, args, env);
  } catch (const options::UsageError&) {  // reading ended there; the question may stand behind it
    const auto ours = std::find(args.begin(), args.end(), "--");
    if (!invocation.settings.help && std::none_of(args.begin(), ours, asks_for_help)) throw;
    return print_command_help(c, env);
  }
  if (invocation.settings.help) return print_command_help(c, env);
  if (invocation.settings.version) {
    print(invocation.settings.verbosity > 3 ? verbose_version() : version_line());
    return kOk;
  }
  if (invocation.settings.list_devices) {
    print(devices_text(list_devices()));
    return kOk;
  }
  EngineOptions& engine = invocation.settings.engine;
  engine.device.shader_cache = engine.speculation.model.device.shader_cache = shader_folder(env);
  const char* no_color = env("NO_COLOR");
  const char* term = env("TERM");
  console.set_colors(invocation.settings.colors,
                     (no_color && *no_color) || (term && std::string_view(term) == "dumb"));
  place_arguments(invocation, c);
  warn_of_options(invocation, c);
  return c.run(invocation);
}

// `moraine help serve`, or `moraine --help`.
int help(const std::vector<std::string>& about, const options::Environment& env, Console& console) {
  if (about.empty() || about[0] == "help" || about[0].starts_with("-")) {
    print(overview());
    return kOk;
  }
  if (const CommandInfo* c = find_command(about[0])) return print_command_help(*c, env);
  if (const Page* p = find_page(about[0])) return print_page_help(*p);
  return unknown_command(about[0], console);
}

int dispatch(std::vector<std::string> args, const options::Environment& env, Console& console,
             const LoadEngine& load_engine) {
  if (args.empty()) args.emplace_back("moraine");
  if (std::filesystem::path(args[0]).filename() == "llama-server") args.insert(args.begin() + 1, "serve");
  const auto means_help = [](const std::string& word) { return word == "help" || asks_for_help(word); };
  // A command of two words.
  for (size_t i = 1; i + 1 < args.size() && i < 3; ++i)
    if (const std::string both = args[i] + " " + args[i + 1];
        find_command(both) && (i == 1 || means_help(args[1]))) {
      args[i] = both;
      args.erase(args.begin() + static_cast<ptrdiff_t>(i) + 1);
    }
  if (args.size() < 2) {
    print(overview() + here_and_next(env));
    return kOk;
  }
  const std::string name = args[1];
  const std::vector<std::string> rest(args.begin() + 2, args.end());
  if (means_help(name)) return help(rest, env, console);
  if (const Page* page = find_page(name == "--version" ? "version" : name))
    return std::any_of(rest.begin(), rest.end(), asks_for_help) ? print_page_help(*page)
                                                                : page->print(rest, console);
  const CommandInfo* c = find_command(name);
  if (c == nullptr) return unknown_command(name, console);
  try {
    return run_command(*c, rest, env, console, load_engine);
  } catch (const options::UsageError& e) {
    console.error(e.what());
    console.line(fmt::format("Try `moraine {} --help`.", name));
    return kUsage;
  }
}

}  // namespace

int run_program(const std::vector<std::string>& args, const options::Environment& env,
                const LoadEngine& load_engine) noexcept {
  try {
    Console console;
    const char* no_color = env("NO_COLOR");
    console.set_colors({}, no_color && *no_color);
    try {
      return dispatch(args, env, console, load_engine);
    } catch (const Error& e) {
      console.end_live();
      if (e.code() == ErrorCode::kCancelled) return kInterrupted;
      console.error(e.what());
    } catch (const std::bad_alloc&) {
      console.error("There is not enough memory.");
    } catch (const std::exception& e) {
      console.error(fmt::format("{} (this is a mistake of the program)", e.what()));
    }
  } catch (...) {  // not even the console
  }
  return kFailure;
}

}  // namespace moraine::app
