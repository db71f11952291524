// `moraine connect CLIENT`: what a coding agent must be told of a running server, shown, merged into its
// settings, or taken out again. What is told: src/agents.
#include <fmt/format.h>
#include <moraine/error.h>

#include <cstdio>
#include <filesystem>

#include "agents/client.h"
#include "agents/settings_file.h"
#include "app.h"
#include "running_server.h"

namespace moraine::app {
namespace {

std::string variable(const Invocation& invocation, const char* name) {
  const char* value = invocation.env(name);
  return value ? value : "";
}

agents::Places places_of(const Invocation& invocation) {
  agents::Places p;
  p.home = variable(invocation, "HOME");
  if (p.home.empty()) throw Error(ErrorCode::kNotFound, "HOME is not set: say which file with --file.");
  p.config_home = variable(invocation, "XDG_CONFIG_HOME");
  if (p.config_home.empty()) p.config_home = p.home + "/.config";
  std::error_code error;
  p.working_folder = std::filesystem::current_path(error).string();
  p.codex_home = variable(invocation, "CODEX_HOME");
  p.claude_config_dir = variable(invocation, "CLAUDE_CONFIG_DIR");
  p.qwen_home = variable(invocation, "QWEN_HOME");
  return p;
}

// A name's line of what cannot be edited gets its file's name in front.
template <class Fn>
auto in_file(const std::string& path, Fn&& fn) {
  try {
    return fn();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kInvalidArgument) throw;
    throw Error(e.code(), fmt::format("{} cannot be edited; nothing was changed. {}", path, e.what()));
  }
}

// The file that has this server already, else the first that is there, else the one to make.
agents::SettingsFile settings_of(const Invocation& invocation, const agents::Client& client,
                                 const agents::Wishes& wishes, const agents::Server* server) {
  if (const std::string& file = invocation.settings.connect.file; !file.empty())
    return agents::read_settings(file);
  const std::vector<std::string> paths = client.files(places_of(invocation), wishes);
  std::vector<agents::SettingsFile> there;
  for (const std::string& path : paths)
    if (agents::SettingsFile f = agents::read_settings(path); f.exists) there.push_back(std::move(f));
  std::error_code error;
  for (const agents::SettingsFile& f : there)
    if (server ? in_file(f.path, [&] { return client.knows(f.text, *server); })
               : std::filesystem::exists(f.backup_path(), error))
      return f;
  return there.empty() ? agents::read_settings(paths.back()) : there.front();
}

int undo(Invocation& invocation, const agents::Client& client, const agents::Wishes& wishes) {
  const agents::SettingsFile file = settings_of(invocation, client, wishes, nullptr);
  const std::string before = agents::read_backup(file);
  const std::string text = in_file(file.path, [&] { return client.undo(file.text, before); });
  agents::restore_settings(file, before, text);
  invocation.console.line(text == before
                              ? fmt::format("{} is as it was.", file.path)
                              : fmt::format("{} is as it was, with what you changed since.", file.path));
  return kOk;
}

}  // namespace

const agents::Client& client_of(const Invocation& invocation) {
  const std::string& name = invocation.settings.connect.client;
  if (name.empty()) throw options::UsageError(fmt::format("say which client: {}", agents::client_names()));
  if (const agents::Client* client = agents::find_client(name)) return *client;
  throw options::UsageError(
      fmt::format("{} is no client known here; there are {}", name, agents::client_names()));
}

int connect(Invocation& invocation) {
  const ConnectSettings& s = invocation.settings.connect;
  Console& console = invocation.console;
  const agents::Client& client = client_of(invocation);
  const agents::Wishes wishes{.make_default = s.make_default, .global = s.global, .plan = s.plan};
  if (!s.plan.empty() && &client != &agents::opencode())
    throw options::UsageError(
        "--plan is OpenCode's: no other client has an agent for planning with a model of its own");
  if (!s.plan.empty() &&
      (s.plan.find('/') == std::string::npos || s.plan.front() == '/' || s.plan.back() == '/'))
    throw options::UsageError("--plan takes PROVIDER/MODEL, such as anthropic/claude-opus-4-5");
  if (s.write && s.undo) throw options::UsageError("--write and --undo do the opposite");
  if (s.undo) return undo(invocation, client, wishes);

  const agents::Server server = ask_running_server(s.url, s.key);
  agents::require_context(server);
  const agents::SettingsFile file = settings_of(invocation, client, wishes, &server);
  const std::string merged = in_file(file.path, [&] { return client.merge(file.text, server, wishes); });
  console.line(terminal_safe(fmt::format("{} serves {} with a context of {} tokens.", server.url,
                                         server.model, count_text(server.n_ctx))));
  if (s.write) {
    if (merged == file.text) {
      console.line(fmt::format("{} says so already.", file.path));
    } else {
      agents::write_settings(file, merged);
      console.line(file.exists ? fmt::format("Wrote {}; as it was: {}", file.path, file.backup_path())
                               : fmt::format("Wrote {}, which was not there.", file.path));
    }
  } else {
    const std::string shown = terminal_safe(client.merge("", server, wishes));
    std::fwrite(shown.data(), 1, shown.size(), stdout);
    std::fflush(stdout);
    console.line(fmt::format("To merge this into {}: add --write. It keeps the rest of the file, and a copy.",
                             file.path));
  }
  for (const std::string& hint : client.hints(server, wishes)) console.line(terminal_safe(hint));
  return kOk;
}

}  // namespace moraine::app
