// `moraine epic status`: where a plan stands, from its boxes, the state on disk and the meter. Changes
// nothing.
#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "epic/graph.h"
#include "epic/state.h"
#include "epic_session.h"

namespace moraine::app {
namespace {

using epic::Standing;

struct Row {
  const epic::Task* task;
  std::string status;  // done, running, interrupted, failed, blocked, waiting
  epic::TaskState state;
  usage::Sums used;
};

bool is_under_way(const std::string& lock) {
  const int fd = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  const bool held = ::flock(fd, LOCK_EX | LOCK_NB) != 0;
  ::close(fd);
  return held;
}

std::vector<Row> rows_of(EpicSession& session, const std::string& name, const epic::Plan& plan,
                         bool under_way) {
  const epic::State state = epic::load_state(epic::EpicPlaces(session.repository, name).state);
  auto used = epic_usage(session.invocation, name);
  const auto state_of = [&](const epic::Task& t) {
    const auto at = state.tasks.find(t.id);
    return at == state.tasks.end() ? epic::TaskState{} : at->second;
  };
  const auto standing = [&](const epic::Task& t) {
    return t.done                                                   ? Standing::kDone
           : state_of(t).status == epic::TaskState::Status::kFailed ? Standing::kFailed
                                                                    : Standing::kOpen;
  };
  const auto blocked = epic::blocked_tasks(plan, standing);
  std::vector<Row> rows;
  for (const epic::Task& t : plan.tasks) {
    const epic::TaskState s = state_of(t);
    std::string status = "waiting";
    if (t.done)
      status = "done";
    else if (standing(t) == Standing::kFailed)
      status = "failed";
    else if (s.status == epic::TaskState::Status::kRunning)
      status = under_way ? "running" : "interrupted";
    else if (std::find(blocked.begin(), blocked.end(), t.id) != blocked.end())
      status = "blocked";
    rows.push_back({&t, status, s, used[t.id]});
  }
  return rows;
}

nlohmann::ordered_json json_status(const std::string& name, const epic::Plan& plan,
                                   const std::vector<Row>& rows, bool under_way) {
  nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
  for (const Row& r : rows)
    tasks.push_back({{"id", r.task->id},
                     {"title", r.task->title},
                     {"status", r.status},
                     {"attempts", r.state.attempts},
                     {"work_seconds", r.state.work_seconds},
                     {"reason", r.state.reason},
                     {"branch", r.state.branch},
                     {"requests", r.used.n_requests},
                     {"prompt_fresh", r.used.n_fresh},
                     {"prompt_cached", r.used.n_cached},
                     {"generated", r.used.n_generated}});
  return {{"epic", name}, {"title", plan.title}, {"under_way", under_way}, {"tasks", std::move(tasks)}};
}

std::string text_status(const std::string& name, const epic::Plan& plan, const std::vector<Row>& rows,
                        bool under_way) {
  size_t width = 4;
  for (const Row& r : rows) width = std::max(width, r.task->id.size());
  const auto n_done =
      std::count_if(rows.begin(), rows.end(), [](const Row& r) { return r.status == "done"; });
  std::string text = fmt::format("{}: {} ({} of {} done{})\n", name, plan.title, n_done, rows.size(),
                                 under_way ? ", under way" : "");
  for (const Row& r : rows) {
    std::string line = fmt::format("  {:<{}}  {:<11}", r.task->id, width, r.status);
    if (r.state.attempts > 0)
      line += fmt::format("  {} attempt{}", r.state.attempts, r.state.attempts == 1 ? " " : "s");
    if (r.state.work_seconds > 0) line += fmt::format("  {:>4.0f} s", r.state.work_seconds);
    if (r.used.n_requests > 0) line += "  " + tokens_words(r.used);
    if (!r.state.reason.empty()) line += "  " + r.state.reason;
    text += line + "\n";
  }
  return terminal_safe(text);
}

}  // namespace

int epic_status(EpicSession& session) {
  Invocation& invocation = session.invocation;
  const auto& arguments = invocation.settings.epic.arguments;
  if (arguments.size() > 1) throw options::UsageError(fmt::format("unexpected argument {}", arguments[1]));
  const std::vector<std::string> names = arguments.empty() ? session.names() : std::vector{session.name()};
  if (names.empty()) {
    invocation.console.line("There is no plan in epics/: moraine epic plan or import makes one.");
    return kOk;
  }
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  std::string text;
  for (const std::string& name : names) {
    try {
      const epic::Plan plan = session.plan(name);
      const bool under_way = is_under_way(epic::EpicPlaces(session.repository, name).lock);
      const std::vector<Row> rows = rows_of(session, name, plan, under_way);
      if (invocation.settings.json)
        all.push_back(json_status(name, plan, rows, under_way));
      else
        text += text_status(name, plan, rows, under_way);
    } catch (const Error& e) {
      if (names.size() == 1) throw;
      invocation.console.warn(e.what());  // one plan's faults must not hide the others
    }
  }
  if (invocation.settings.json)
    text = (arguments.empty() ? all : all[0])
               .dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
           "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return kOk;
}

}  // namespace moraine::app
