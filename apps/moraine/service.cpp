// `moraine service install|uninstall|status`: the server as a service of this user, started with the session
// (or with the machine, after `loginctl enable-linger`). The unit is ours and replaced by an upgrade; the
// options are the user's, in a file that is made once and then left alone.
#include "service.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "app.h"
#include "model_path.h"
#include "runtime_file.h"

extern char** environ;

namespace moraine::app {
namespace {

namespace fs = std::filesystem;

struct Places {
  fs::path unit, options;
};

Places places(const options::Environment& env) {
  const char* config = env("XDG_CONFIG_HOME");
  const char* home = env("HOME");
  if ((!config || *config != '/') && (!home || !*home))
    throw Error(ErrorCode::kNotFound, "Neither HOME nor XDG_CONFIG_HOME is set.");
  const fs::path folder = config && *config == '/' ? fs::path(config) : fs::path(home) / ".config";
  return {folder / "systemd" / "user" / "moraine.service", folder / "moraine" / "serve.conf"};
}

// In its place at once; 0600, as options may hold a key.
void write_file(const fs::path& path, const std::string& text) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  const std::string temporary = path.string() + ".tmp";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  const bool good = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  if (!good || ::rename(temporary.c_str(), path.c_str()) != 0)
    throw Error(ErrorCode::kIo,
                fmt::format("{} cannot be written: {}.", path.string(), std::strerror(errno)));
}

// Whether this user has a running systemd to talk to.
bool has_systemd(const options::Environment& env) {
  const char* runtime = env("XDG_RUNTIME_DIR");
  std::error_code error;
  return runtime && *runtime && fs::exists(fs::path(runtime) / "systemd" / "private", error);
}

// Runs `systemctl --user ARGS`; its exit code, or -1 where it is not there.
int systemctl(std::vector<std::string> args) {
  args.insert(args.begin(), {"systemctl", "--user"});
  std::vector<char*> argv;
  for (std::string& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  if (::posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), environ) != 0) return -1;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int install(Invocation& invocation) {
  const Settings& s = invocation.settings;
  Console& console = invocation.console;
  const Places p = places(invocation.env);
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const bool had_options = fs::exists(p.options, error);
  std::string model;
  if (!s.service.model.empty())
    model = fs::absolute(model_path_of(s.service.model, invocation), error).string();
  if (!had_options && model.empty())
    throw options::UsageError("say which model it shall serve: moraine service install MODEL");
  write_file(p.unit, service_unit(program.string()));
  console.line(fmt::format("wrote {}", p.unit.string()));
  if (!had_options) {
    write_file(p.options, service_options(model));
    console.line(fmt::format("wrote {}: its options; edit them there", p.options.string()));
  } else {
    console.line(
        fmt::format("{} was there and stays as it is{}", p.options.string(),
                    model.empty() ? "" : fmt::format(": for this model, set MORAINE_MODEL={} in it", model)));
  }
  if (!s.service.start || !has_systemd(invocation.env)) {
    console.line("Next: systemctl --user daemon-reload && systemctl --user enable --now moraine");
    return kOk;
  }
  if (systemctl({"daemon-reload"}) != 0 || systemctl({"enable", "moraine"}) != 0 ||
      systemctl({"restart", "moraine"}) != 0)
    throw Error(
        ErrorCode::kIo,
        "The service was written but could not be started: systemctl --user status moraine says why.");
  console.line(
      "It runs, and will start with your session. With the machine: loginctl enable-linger. Its log: moraine "
      "logs");
  return kOk;
}

int uninstall(Invocation& invocation) {
  Console& console = invocation.console;
  const Places p = places(invocation.env);
  std::error_code error;
  if (!fs::exists(p.unit, error)) {
    console.line("There is no service to remove.");
    return kOk;
  }
  const bool can = has_systemd(invocation.env);
  if (can) systemctl({"disable", "--now", "moraine"});
  fs::remove(p.unit, error);
  if (error)
    throw Error(ErrorCode::kIo, fmt::format("{} cannot be removed: {}.", p.unit.string(), error.message()));
  if (can) systemctl({"daemon-reload"});
  console.line(fmt::format("removed {}", p.unit.string()));
  if (fs::exists(p.options, error)) console.line(fmt::format("Its options stay: {}", p.options.string()));
  return kOk;
}

int status(Invocation& invocation) {
  Console& console = invocation.console;
  const Places p = places(invocation.env);
  std::error_code error;
  if (!fs::exists(p.unit, error)) {
    console.line("Not installed. To install it: moraine service install MODEL");
    return kFailure;
  }
  console.line(fmt::format("unit     {}\noptions  {}", p.unit.string(), p.options.string()));
  for (const RunningModel& m : running_models(invocation.env))
    if (m.unit == "moraine.service") {
      console.line(terminal_safe(fmt::format("running  {} at {}, process {}{}", m.name, m.url, m.pid,
                                             m.ready ? "" : ", still loading")));
      return kOk;
    }
  console.line("It does not run. Why: journalctl --user -u moraine");
  return kFailure;
}

}  // namespace

std::string service_unit(const std::string& program) {
  // systemd reads % and " in paths as its own.
  std::string path;
  for (const char c : program)
    if (c == '%')
      path += "%%";
    else if (c == '"' || c == '\\')
      path += std::string("\\") + c;
    else
      path += c;
  return fmt::format(
      R"(# Written by `moraine service install`, which replaces it. Your options: ~/.config/moraine/serve.conf.
# Changes of this unit go into a drop-in: systemctl --user edit moraine
[Unit]
Description=moraine, a local server for coding agents

[Service]
ExecStart="{}" serve
EnvironmentFile=%E/moraine/serve.conf
Restart=on-failure
RestartSec=5
# Answers under way are finished first (--drain-timeout, 30 s).
TimeoutStopSec=45
KillMode=mixed
UMask=0077

# It reads models from anywhere, and writes caches and its runtime file only.
ProtectSystem=strict
ReadWritePaths=-%C %t
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# Not MemoryDenyWriteExecute: tokenizers compile their patterns, and GPU drivers their shaders, at run time.
# Not PrivateDevices: GPUs are devices.

[Install]
WantedBy=default.target
)",
      path);
}

std::string service_options(const std::string& model) {
  return fmt::format(
      R"(# Options of the service, one a line. Any option of `moraine serve --help` by its name in the environment:
# --ctx-size is MORAINE_CTX_SIZE. After a change: systemctl --user restart moraine
# Made once by `moraine service install`; upgrades leave it alone.
MORAINE_MODEL="{}"
MORAINE_PORT=8081
# Other machines may connect; then set a key too.
#MORAINE_HOST=0.0.0.0
#MORAINE_API_KEY=...
#MORAINE_CTX_SIZE=128000
)",
      model);
}

int service(Invocation& invocation) {
  const std::string& what = invocation.settings.service.command;
  if (what == "install") return install(invocation);
  if (what == "uninstall") return uninstall(invocation);
  if (what == "status" || what.empty()) return status(invocation);
  throw options::UsageError(fmt::format("{} is none of install, uninstall and status", what));
}

}  // namespace moraine::app
