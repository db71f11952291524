// `moraine epic run` and `escalate`: a plan worked through by the local model, or one task of it by a
// frontier model, and what is to be seen meanwhile.
#include <fmt/format.h>
#include <moraine/error.h>
#include <signal.h>

#include <chrono>
#include <ctime>
#include <filesystem>

#include "child_environment.h"
#include "epic/files.h"
#include "epic_agent.h"
#include "epic_planner.h"
#include "epic_session.h"
#include "running_server.h"
#include "server/http/get.h"
#include "signals.h"
#include "usage_place.h"

namespace moraine::app {
namespace {

using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr seconds kLookEvery{3};  // at the meter, for the live line, and at the server

int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string clock_text() {
  const std::time_t now = std::time(nullptr);
  std::tm t{};
  ::localtime_r(&now, &t);
  return fmt::format("{:02}:{:02}", t.tm_hour, t.tm_min);
}

std::string duration_text(int64_t ms) {
  const int64_t s = ms / 1000;
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

// One line at the bottom of a terminal: where it stands. Elsewhere lines of what happened are enough.
class LiveView {
 public:
  LiveView(Invocation& invocation, std::string epic) : invocation_(invocation), epic_(std::move(epic)) {}
  ~LiveView() { end(); }
  void end() { invocation_.console.end_live(); }

  void line(const std::string& text) { invocation_.console.line(terminal_safe(clock_text() + "  " + text)); }
  void show(const epic::Progress& p) {
    if (!invocation_.console.is_terminal()) return;
    if (p.task != task_ || Clock::now() - looked_ > kLookEvery) {
      looked_ = Clock::now();
      task_ = p.task;
      tokens_ = tokens_words(epic_usage(invocation_, epic_, p.began_ms)[p.task]);
    }
    invocation_.console.live(terminal_safe(fmt::format(
        "{} of {} done  {}  attempt {} of {}  {}  {}{}{}", p.n_done, p.n_tasks, p.task, p.attempt, p.attempts,
        duration_text(unix_ms() - p.began_ms), p.doing, tokens_.empty() ? "" : "  ", tokens_)));
  }

 private:
  Invocation& invocation_;
  const std::string epic_;
  std::string task_, tokens_;
  Clock::time_point looked_{};
};

// The local server: found at the start, waited for when it has gone.
class LocalServer {
 public:
  LocalServer(const EpicSettings& s, const Signals& signals) : settings_(s), stop_fd_(signals.fd()) {
    server_ = ask_running_server(s.url, s.key);
    if (s.agent_command.empty()) agents::require_context(server_);  // OpenCode's need of room
  }
  const agents::Server& server() const { return server_; }
  bool is_ready(LiveView& view) {
    const auto until = Clock::now() + seconds(settings_.wait_s);
    for (bool told = false;; told = true) {
      try {
        ask_running_server(server_.url, server_.key);
        answered_ = looked_ = Clock::now();
        return true;
      } catch (const Error& e) {
        if (e.code() != ErrorCode::kUnavailable && e.code() != ErrorCode::kIo) throw;
        if (!told)
          view.line(fmt::format("{} does not answer; waiting up to {} s", server_.url, settings_.wait_s));
      }
      if (Clock::now() >= until || wait_readable({stop_fd_}, 1000) >= 0) return false;
    }
  }
  // While an agent works: whether nobody has answered for longer than is waited. Looks every few seconds.
  bool is_lost() {
    const auto now = Clock::now();
    if (now - looked_ < kLookEvery) return false;
    looked_ = now;
    http::GetOptions options;
    options.timeout = seconds(2);
    try {
      http::get(server_.url + "/health", options);
      answered_ = now;
    } catch (const Error&) {  // nobody is there
    }
    return now - answered_ > seconds(settings_.wait_s);
  }

 private:
  const EpicSettings& settings_;
  const int stop_fd_;
  agents::Server server_;
  Clock::time_point looked_{}, answered_{};
};

epic::RunnerOptions runner_options(EpicSession& session, const std::string& name, LiveView& view,
                                   const Signals& signals) {
  const EpicSettings& s = session.invocation.settings.epic;
  epic::RunnerOptions o;
  o.repository = session.repository;
  o.name = name;
  o.work_folder = session.work_folder(name);
  o.environment = child_environment();
  o.attempts = s.attempts;
  o.accept_timeout = seconds(s.accept_timeout_s);
  o.retry_failed = s.retry;
  o.stop_fd = signals.fd();
  o.on_line = [&view](const std::string& line) { view.line(line); };
  o.on_tick = [&view](const epic::Progress& p) { view.show(p); };
  return o;
}

epic::Outcome work_through(epic::RunnerOptions options, LiveView& view) {
  try {
    epic::Outcome out = epic::Runner(std::move(options)).run();
    view.end();
    return out;
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kCancelled) view.line(e.what());
    throw;
  }
}

// What it came to, and what a cloud model would have charged for it.
int tell_outcome(EpicSession& session, const std::string& name, const epic::Outcome& out, int64_t began_ms) {
  Console& console = session.invocation.console;
  usage::Sums all;
  for (const auto& [task, s] : epic_usage(session.invocation, name, began_ms)) {
    all.n_requests += s.n_requests;
    all.n_fresh += s.n_fresh, all.n_cached += s.n_cached, all.n_generated += s.n_generated;
  }
  console.line(fmt::format("{} of {} tasks are done, after {}.", out.n_done, out.n_tasks,
                           duration_text(unix_ms() - began_ms)));
  if (all.n_requests > 0) {
    const usage::PriceTable table =
        prices_for(session.invocation.settings.usage, session.invocation.env).table;
    const usage::Price& price = table.find("");
    console.line(fmt::format(
        "{}; {} would have charged about {:.2f} {} (moraine usage --epic {}).", tokens_words(all), price.name,
        usage::charge(price, all.n_fresh, all.n_cached, all.n_generated), table.currency, name));
  }
  if (!out.failed.empty())
    console.line(fmt::format("Failed: {}. Each left a report: moraine epic escalate {} TASK",
                             fmt::join(out.failed, ", "), name));
  if (!out.blocked.empty()) console.line(fmt::format("Waiting for those: {}.", fmt::join(out.blocked, ", ")));
  return out.n_done == out.n_tasks ? kOk : kFailure;
}

}  // namespace

int epic_run(EpicSession& session) {
  Invocation& invocation = session.invocation;
  const EpicSettings& s = invocation.settings.epic;
  if (s.arguments.size() > 1)
    throw options::UsageError(fmt::format("unexpected argument {}", s.arguments[1]));
  const std::string name = session.name();
  session.plan(name);  // before anybody is asked for a server
  Signals signals{SIGINT, SIGTERM, SIGHUP};
  LiveView view(invocation, name);
  epic::RunnerOptions o = runner_options(session, name, view, signals);
  std::optional<LocalServer> server;
  if (s.agent_command.empty() || !s.url.empty()) {
    server.emplace(s, signals);
    o.is_ready = [&] { return server->is_ready(view); };
    o.is_lost = [&] { return server->is_lost(); };
  }
  o.agent = s.agent_command.empty() ? opencode_agent(server->server(), name, seconds(s.agent_timeout_s))
                                    : command_agent(s.agent_command, name, seconds(s.agent_timeout_s));
  const int64_t began_ms = unix_ms();
  return tell_outcome(session, name, work_through(std::move(o), view), began_ms);
}

int epic_escalate(EpicSession& session) {
  Invocation& invocation = session.invocation;
  const EpicSettings& s = invocation.settings.epic;
  if (s.arguments.empty() || s.arguments.size() > 2)
    throw options::UsageError("say which task: moraine epic escalate [NAME] TASK");
  const std::string name = s.arguments.size() == 2 ? session.name() : [&] {
    const auto all = session.names();
    if (all.size() != 1) throw options::UsageError("say which plan: moraine epic escalate NAME TASK");
    return all[0];
  }();
  const std::string task = s.arguments.back();
  const epic::Plan plan = session.plan(name);
  if (!plan.find(task)) throw Error(ErrorCode::kNotFound, fmt::format("{} is no task of {}.", task, name));
  const epic::EpicPlaces places(session.repository, name);
  const epic::State state = epic::load_state(places.state);
  const auto at = state.tasks.find(task);
  if (at == state.tasks.end() || at->second.status != epic::TaskState::Status::kFailed)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} has not failed: there is nothing to escalate.", task));
  if (s.planner.empty()) {
    const std::string report = epic::read_file(places.report(task)) + "\n";
    std::fwrite(report.data(), 1, report.size(), stdout);
    std::fflush(stdout);
    invocation.console.line(fmt::format(
        "To hand it to a frontier model: moraine epic escalate {} {} --planner claude", name, task));
    return kOk;
  }
  const Planner planner = parse_planner(s.planner);
  frontier_job(planner, "");  // whether it can
  if (!agreed(invocation, sending_notice(planner, "", "") +
                              " It edits in the task's own folder, and is told the task "
                              "and what its attempts came to."))
    return kFailure;
  Signals signals{SIGINT, SIGTERM, SIGHUP};
  LiveView view(invocation, name);
  epic::RunnerOptions o = runner_options(session, name, view, signals);
  o.only = task;
  o.attempts = 1;
  o.agent = [&](const epic::AgentJob& job) {
    epic::ProcessOptions p = frontier_job(planner, job.prompt);
    p.timeout = seconds(s.agent_timeout_s);
    return p;
  };
  const epic::Outcome out = work_through(std::move(o), view);
  const bool done = session.plan(name).find(task)->done;
  invocation.console.line(fmt::format(
      "{} {}. {} of {} tasks are done{}", task, done ? "is done" : "failed again", out.n_done, out.n_tasks,
      out.n_done < out.n_tasks && done ? fmt::format("; the rest: moraine epic run {}", name) : ""));
  return done ? kOk : kFailure;
}

}  // namespace moraine::app
