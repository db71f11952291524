#include "epic/state.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "epic/files.h"

namespace moraine::epic {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kVersion = 1;
constexpr TaskState::Status kStatuses[] = {TaskState::Status::kWaiting, TaskState::Status::kRunning,
                                           TaskState::Status::kFailed, TaskState::Status::kDone};

TaskState task_of(const Json& j) {
  TaskState t;
  const std::string status = j.at("status").get<std::string>();
  for (const auto s : kStatuses)
    if (status == to_string(s)) t.status = s;
  t.attempts = j.at("attempts").get<int>();
  t.base = j.value("base", "");
  t.commit = j.value("commit", "");
  t.branch = j.value("branch", "");
  t.reason = j.value("reason", "");
  t.feedback = j.value("feedback", "");
  t.began_ms = j.value("began_ms", int64_t{0});
  t.ended_ms = j.value("ended_ms", int64_t{0});
  t.work_seconds = j.value("work_seconds", 0.0);
  t.group = j.value("group", pid_t{0});
  t.group_start = j.value("group_start", uint64_t{0});
  return t;
}

}  // namespace

const char* to_string(TaskState::Status status) noexcept {
  switch (status) {
    case TaskState::Status::kRunning:
      return "running";
    case TaskState::Status::kFailed:
      return "failed";
    case TaskState::Status::kDone:
      return "done";
    case TaskState::Status::kWaiting:
      break;
  }
  return "waiting";
}

State load_state(const std::string& path) {
  State state;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return state;
  try {
    const Json j = Json::parse(read_file(path));
    if (j.at("version").get<int>() != kVersion)
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{} was written by another version of moraine.", path));
    state.branch = j.value("branch", "");
    for (const auto& [id, task] : j.at("tasks").items()) state.tasks[id] = task_of(task);
  } catch (const Json::exception& e) {
    throw Error(
        ErrorCode::kCorruptFile,
        fmt::format(
            "{} is damaged ({}). Remove it: what is done stands in the plan's boxes; what failed will "
            "be tried again.",
            path, e.what()));
  }
  return state;
}

void save_state(const std::string& path, const State& state) {
  Json tasks = Json::object();
  for (const auto& [id, t] : state.tasks)
    tasks[id] = {{"status", to_string(t.status)},
                 {"attempts", t.attempts},
                 {"base", t.base},
                 {"commit", t.commit},
                 {"branch", t.branch},
                 {"reason", t.reason},
                 {"feedback", t.feedback},
                 {"began_ms", t.began_ms},
                 {"ended_ms", t.ended_ms},
                 {"work_seconds", t.work_seconds},
                 {"group", t.group},
                 {"group_start", t.group_start}};
  const Json j = {{"version", kVersion}, {"branch", state.branch}, {"tasks", std::move(tasks)}};
  write_file(path, j.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace moraine::epic
