// What is known of an epic beyond its plan's boxes: who failed and why, what runs. One JSON file that is
// replaced whole, so that a crash leaves the state of before. Whether a task is done is the plan's box in the
// branch, not here.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

namespace moraine::epic {

struct TaskState {
  enum class Status { kWaiting, kRunning, kFailed, kDone };
  Status status = Status::kWaiting;
  int attempts = 0;                    // begun
  std::string base;                    // the commit its worktree began at
  std::string commit;                  // verified, and not in the branch yet; "" none
  std::string branch;                  // where a failed one's edits are; "" there are none
  std::string reason;                  // why it failed, one line
  std::string feedback;                // what the next attempt is told
  int64_t began_ms = 0, ended_ms = 0;  // Unix time
  double work_seconds = 0;             // of all its attempts
  pid_t group = 0;                     // the processes of the attempt under way,
  uint64_t group_start = 0;            // and when their first one started (process.h)
};

struct State {
  std::string branch;  // the one it is worked into
  std::map<std::string, TaskState> tasks;
};

const char* to_string(TaskState::Status status) noexcept;

// No file is an empty state. Throws Error{kCorruptFile} for what cannot be read as one.
State load_state(const std::string& path);
void save_state(const std::string& path, const State& state);  // throws Error{kIo}

}  // namespace moraine::epic
