// Works through a plan: each task in a worktree of its own, an agent that edits, the acceptance command that
// decides, its failures told to the next attempt, one commit for each task that is done, its box ticked in
// the same commit. All it must know to go on after a crash is on disk (state.h, the branch itself). Knows no
// agent and no server: those come with the options (apps/moraine/epic_run.cpp).
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "epic/git.h"
#include "epic/graph.h"
#include "epic/plan.h"
#include "epic/process.h"
#include "epic/state.h"
#include "epic/worktree.h"

namespace moraine::epic {

struct AgentJob {
  const Task& task;
  std::string prompt, folder;
  int attempt = 1;
};

struct Progress {
  int n_done = 0, n_tasks = 0;
  std::string task, doing;  // "parser", "the agent works"
  int attempt = 0, attempts = 0;
  int64_t began_ms = 0;  // of the task, Unix time
};

struct RunnerOptions {
  Repository repository;
  std::string name;         // the plan is epics/NAME.md
  std::string work_folder;  // for the worktrees: outside the repository
  std::vector<std::string> environment;
  int attempts = 3;
  std::chrono::seconds accept_timeout{600};
  bool retry_failed = false;
  std::string only;  // this task alone, and again if it failed; "": all
  int stop_fd = -1;
  // What to run for a job; the runner adds the folder and what it needs itself.
  std::function<ProcessOptions(const AgentJob&)> agent;
  // Whether what the agent needs is there; may wait for it. Asked before an attempt, and again after one that
  // came to nothing: where it is not, the attempt does not count and the run ends. Empty: always.
  std::function<bool()> is_ready;
  // Asked often while an agent works, so it must be quick: true ends the attempt like that. Empty: never.
  std::function<bool()> is_lost;
  std::function<void(const std::string&)> on_line;  // what happened, a line for people
  std::function<void(const Progress&)> on_tick;
};

struct Outcome {
  int n_done = 0, n_tasks = 0;
  std::vector<std::string> failed, blocked;
};

// Where an epic's state, logs and reports lie: within the repository's git folder.
struct EpicPlaces {
  EpicPlaces(const Repository& repository, const std::string& name);
  std::string plan, plan_path;  // the file, and the same from the root
  std::string folder, state, lock;
  std::string report(const std::string& task) const { return folder + "/" + task + ".md"; }
  std::string log(const std::string& task, int attempt) const;
};

class Runner {
 public:
  explicit Runner(RunnerOptions options);
  // Throws Error: kInvalidArgument for a plan with faults, kUnsupported for a tree that is not clean,
  // kUnavailable where another run is at it or the server has gone, kCancelled when it was stopped, kIo.
  // Whatever it throws, it can be run again and goes on.
  Outcome run();

 private:
  enum class Verdict { kDone, kAgain, kConflict };
  Plan read_plan() const;
  void require_clean() const;
  void commit_plan() const;
  void take_up(const Plan& plan);  // what an earlier run left
  void work(const Plan& plan, const Task& task);
  bool attempt(const Plan& plan, const Task& task, Worktree& tree, TaskState& state);
  ProcessResult run_agent(const Plan& plan, const Task& task, const Worktree& tree, TaskState& state);
  ProcessResult run_acceptance(const Task& task, const Worktree& tree);
  Verdict integrate(const Task& task, Worktree& tree, TaskState& state);
  void forward(const Task& task, TaskState& state);
  void fail(const Plan& plan, const Task& task, Worktree& tree, TaskState& state, const std::string& reason);
  Standing standing(const Task& task) const;
  void save() const { save_state(places_.state, state_); }
  void say(const std::string& line) const;
  void tick(const std::string& doing);

  const RunnerOptions o_;
  const EpicPlaces places_;
  const Git git_;
  State state_;
  Progress progress_;
};

}  // namespace moraine::epic
