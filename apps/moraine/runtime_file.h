// What runs on this machine for this user: each server keeps a small file in the runtime folder for as long
// as it lives, and `ps`, `stop`, `logs` and `run` read them. Holds no key and nothing of prompts. A file
// whose process is gone counts for nothing and is removed by whoever sees it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/options/parser.h"

namespace moraine::app {

struct RunningModel {
  pid_t pid = 0;
  std::string name;        // as clients see it
  std::string model_path;  // links resolved
  std::string url;
  bool ready = false;  // false: still loading
  bool needs_key = false;
  int32_t n_ctx = 0;     // once it is ready
  int64_t started = 0;   // seconds since 1970
  std::string log_file;  // --log-file; empty: none
  std::string unit;      // the systemd unit it runs in; empty: none
};

class RuntimeFile {
 public:
  // Fills pid, started and unit. Where the folder cannot be had, the server runs without: problem() says why.
  RuntimeFile(const options::Environment& env, RunningModel model);
  ~RuntimeFile();
  RuntimeFile(const RuntimeFile&) = delete;
  RuntimeFile& operator=(const RuntimeFile&) = delete;

  void set_ready(const std::string& name, int32_t n_ctx);
  const std::string& problem() const noexcept { return problem_; }

 private:
  void write();
  RunningModel model_;
  std::string folder_, problem_;
};

// Sorted by age, the oldest first.
std::vector<RunningModel> running_models(const options::Environment& env);

// Whether the process of then still runs.
bool still_runs(const RunningModel& model);

// $XDG_RUNTIME_DIR/moraine, or /tmp/moraine-UID where that is not set.
std::string runtime_folder(const options::Environment& env);

}  // namespace moraine::app
