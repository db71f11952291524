// `moraine ps`, `stop` and `logs`: the servers of this user on this machine, by their runtime files.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "app.h"
#include "hub/quantization.h"
#include "runtime_file.h"
#include "signals.h"

namespace moraine::app {
namespace {

using namespace std::chrono_literals;

std::string age_text(int64_t started) {
  const int64_t s = std::max<int64_t>(0, std::time(nullptr) - started);
  if (s < 120) return fmt::format("{} s", s);
  if (s < 7200) return fmt::format("{} min", s / 60);
  return s < 172800 ? fmt::format("{} h", s / 3600) : fmt::format("{} days", s / 86400);
}

uint64_t resident_bytes(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/statm", pid));
  uint64_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// By pid, port, or a part of the name; without a name, the only one there is.
std::vector<RunningModel> named(const Invocation& invocation) {
  std::vector<RunningModel> all = running_models(invocation.env);
  const std::string& name = invocation.settings.servers.name;
  if (name.empty()) return all;
  std::erase_if(all, [&](const RunningModel& m) {
    return std::to_string(m.pid) != name && !m.url.ends_with(":" + name) &&
           hub::upper(m.name).find(hub::upper(name)) == std::string::npos;
  });
  return all;
}

RunningModel one(const Invocation& invocation) {
  const std::vector<RunningModel> found = named(invocation);
  if (found.size() == 1) return found.front();
  if (found.empty())
    throw Error(ErrorCode::kNotFound,
                invocation.settings.servers.name.empty()
                    ? "No server of yours runs on this machine."
                    : fmt::format("No server of yours is called {}: moraine ps lists them.",
                                  invocation.settings.servers.name));
  std::string list;
  for (const RunningModel& m : found) list += fmt::format("\n  {}  {}  {}", m.pid, m.url, m.name);
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("Several servers run; say which by number, port or name:{}", list));
}

bool wait_for_end(const RunningModel& m, std::chrono::milliseconds most, const Signals& signals) {
  const auto until = std::chrono::steady_clock::now() + most;
  while (still_runs(m)) {
    if (std::chrono::steady_clock::now() > until) return false;
    if (wait_readable({signals.fd()}, 50) == 0) return false;
  }
  return true;
}

}  // namespace

int ps(Invocation& invocation) {
  const std::vector<RunningModel> running = running_models(invocation.env);
  if (invocation.settings.json) {
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (const RunningModel& m : running)
      out.push_back({{"pid", m.pid},
                     {"name", m.name},
                     {"url", m.url},
                     {"ready", m.ready},
                     {"n_ctx", m.n_ctx},
                     {"needs_key", m.needs_key},
                     {"resident_bytes", resident_bytes(m.pid)},
                     {"started", m.started},
                     {"model_path", m.model_path},
                     {"log_file", m.log_file},
                     {"unit", m.unit}});
    print(out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    return kOk;
  }
  if (running.empty()) {
    invocation.console.line("No server of yours runs on this machine. To start one: moraine serve MODEL");
    return kOk;
  }
  size_t width = 5;
  for (const RunningModel& m : running) width = std::max(width, m.name.size());
  std::string out = fmt::format("{:>8}  {:<{}}  {:<28}  {:<8}  {:>9}  {}\n", "PID", "MODEL", width, "ADDRESS",
                                "STATE", "MEMORY", "SINCE");
  for (const RunningModel& m : running)
    out += fmt::format("{:>8}  {:<{}}  {:<28}  {:<8}  {:>9}  {}\n", m.pid, m.name, width, m.url,
                       m.ready ? "ready" : "loading", size_text(resident_bytes(m.pid)), age_text(m.started));
  print(terminal_safe(out));
  return kOk;
}

int stop(Invocation& invocation) {
  const ServersSettings& s = invocation.settings.servers;
  std::vector<RunningModel> targets;
  if (s.all)
    targets = running_models(invocation.env);
  else
    targets.push_back(one(invocation));
  Signals signals{SIGINT};
  for (const RunningModel& m : targets) {
    if (::kill(m.pid, SIGTERM) != 0)
      throw Error(ErrorCode::kIo, fmt::format("Process {} cannot be told to stop.", m.pid));
    if (s.now && !wait_for_end(m, 300ms, signals)) ::kill(m.pid, SIGTERM);  // the second one ends it at once
    if (!wait_for_end(m, 300ms, signals))
      invocation.console.line(terminal_safe(
          fmt::format("waiting for {} to finish its answers (moraine stop --now does not wait)", m.name)));
    if (!wait_for_end(m, 24h, signals)) {
      invocation.console.line("It was told to stop, and goes when its answers are finished.");
      return kInterrupted;
    }
    invocation.console.line(terminal_safe(fmt::format("stopped {} at {}", m.name, m.url)));
  }
  if (targets.empty()) invocation.console.line("No server of yours runs on this machine.");
  return kOk;
}

int logs(Invocation& invocation) {
  const ServersSettings& s = invocation.settings.servers;
  const RunningModel m = one(invocation);
  if (m.log_file.empty() && !m.unit.empty()) {
    const std::string lines = std::to_string(s.lines);
    std::vector<const char*> args = {"journalctl", "--user", "-u", m.unit.c_str(), "-n", lines.c_str()};
    if (s.follow) args.push_back("-f");
    args.push_back(nullptr);
    ::execvp(args[0], const_cast<char* const*>(args.data()));
    throw Error(
        ErrorCode::kNotFound,
        fmt::format("Its log is the journal's, and journalctl is not here: journalctl --user -u {}", m.unit));
  }
  if (m.log_file.empty())
    throw Error(ErrorCode::kNotFound, fmt::format("{} (process {}) writes its log to where it was started. "
                                                  "Start it with --log-file FILE to read it here.",
                                                  m.name, m.pid));
  std::ifstream in(m.log_file, std::ios::binary);
  if (!in) throw Error(ErrorCode::kIo, fmt::format("Its log, {}, cannot be read.", m.log_file));
  // The last lines: as much of the end as may hold them.
  in.seekg(0, std::ios::end);
  const int64_t size = in.tellg(), window = std::min<int64_t>(size, int64_t{s.lines} * 512 + 4096);
  in.seekg(size - window);
  std::string text(static_cast<size_t>(window), '\0');
  in.read(text.data(), window);
  size_t from = text.size();
  for (int32_t n = 0; n <= s.lines && from != std::string::npos && from > 0; ++n)
    from = text.rfind('\n', from - 1);
  print(terminal_safe(text.substr(from == std::string::npos || s.lines == 0
                                      ? (s.lines == 0 ? text.size() : 0)
                                      : from + (from < text.size() && text[from] == '\n'))));
  if (!s.follow) return kOk;
  Signals signals{SIGINT};
  while (wait_readable({signals.fd()}, 200) != 0) {
    in.clear();
    std::string more(64 << 10, '\0');
    in.read(more.data(), static_cast<std::streamsize>(more.size()));
    more.resize(static_cast<size_t>(in.gcount()));
    print(terminal_safe(more));
    if (more.empty() && !still_runs(m)) break;
  }
  return kOk;
}

}  // namespace moraine::app
