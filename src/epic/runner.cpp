#include "epic/runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "epic/files.h"
#include "epic/prompt.h"

namespace moraine::epic {
namespace {

namespace fs = std::filesystem;
using Status = TaskState::Status;

constexpr size_t kMaxLogBytes = 16 << 20;
constexpr int kMostMoves = 3;  // of a branch that somebody else commits to at the same time

int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// One run of an epic at a time; goes with the process, however that ends.
class Lock {
 public:
  explicit Lock(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (fd_ < 0)
      throw Error(ErrorCode::kIo, fmt::format("Opening {} failed: {}.", path, std::strerror(errno)));
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
    ::close(fd_);
    throw Error(ErrorCode::kUnavailable, "This epic is being worked through already, by another moraine.");
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

std::string joined(const std::vector<std::string>& lines, size_t most) {
  std::string out;
  for (size_t i = 0; i < std::min(most, lines.size()); ++i) out += "\n  " + lines[i];
  return lines.size() > most ? out + fmt::format("\n  and {} more", lines.size() - most) : out;
}

std::vector<std::string> in_folder(std::vector<std::string> environment, const std::string& folder) {
  std::erase_if(environment,
                [](const std::string& e) { return e.starts_with("PWD=") || e.starts_with("OLDPWD="); });
  environment.push_back("PWD=" + folder);  // agents take their folder from it
  return environment;
}

}  // namespace

EpicPlaces::EpicPlaces(const Repository& repository, const std::string& name)
    : plan_path("epics/" + name + ".md"), folder(repository.git_folder + "/moraine/epics/" + name) {
  plan = repository.root + "/" + plan_path;
  state = folder + "/state.json";
  lock = folder + "/lock";
}

std::string EpicPlaces::log(const std::string& task, int attempt) const {
  return fmt::format("{}/{}-{}.log", folder, task, attempt);
}

Runner::Runner(RunnerOptions options)
    : o_(std::move(options)), places_(o_.repository, o_.name), git_(o_.repository.root, o_.environment) {}

void Runner::say(const std::string& line) const {
  if (o_.on_line) o_.on_line(line);
}

void Runner::tick(const std::string& doing) {
  progress_.doing = doing;
  if (o_.on_tick) o_.on_tick(progress_);
}

Plan Runner::read_plan() const {
  Parsed parsed = parse_plan(read_file(places_.plan));
  if (!parsed.faults.empty())
    throw Error(ErrorCode::kInvalidArgument, fmt::format("{} cannot be worked through:\n{}",
                                                         places_.plan_path, faults_text(parsed.faults)));
  return std::move(parsed.plan);
}

void Runner::require_clean() const {
  const auto changes = git_.changes(places_.plan_path);
  if (!changes.empty())
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("There are changes that are not committed; commit them or set them aside (git stash), so "
                    "that no task is mixed with them:{}",
                    joined(changes, 10)));
  if (git_.ask({"var", "GIT_COMMITTER_IDENT"}).code != 0)
    throw Error(ErrorCode::kUnsupported,
                "git does not know who commits: git config user.name ... and git config user.email ...");
}

// The plan is committed first, so that each task's commit can tick its box in it.
void Runner::commit_plan() const {
  const bool is_there = git_.ask({"cat-file", "-e", "HEAD:" + places_.plan_path}).code == 0;
  if (is_there && git_.changes().empty()) return;
  git_.run({"add", "--force", "--", places_.plan_path});
  git_.run(
      {"commit", "--quiet", "--no-verify", "-m", fmt::format("Plan: {}", o_.name), "--", places_.plan_path});
  say(fmt::format("committed {}", places_.plan_path));
}

Standing Runner::standing(const Task& task) const {
  if (task.done) return Standing::kDone;
  const auto at = state_.tasks.find(task.id);
  return at != state_.tasks.end() && at->second.status == Status::kFailed ? Standing::kFailed
                                                                          : Standing::kOpen;
}

void Runner::take_up(const Plan& plan) {
  state_ = load_state(places_.state);
  const std::string branch = git_.ask({"symbolic-ref", "--quiet", "--short", "HEAD"}).output;
  if (branch.empty())
    throw Error(ErrorCode::kUnsupported,
                "No branch is checked out, and commits need one: git switch -c NAME.");
  for (auto& [id, t] : state_.tasks) {
    end_group(t.group, t.group_start);
    t.group = 0, t.group_start = 0;
    const Task* task = plan.find(id);
    if (t.status == Status::kRunning && (task == nullptr || task->done)) {  // all but the tidying up was done
      Worktree(git_, o_.work_folder + "/" + id, places_.plan_path).remove();
      if (!t.commit.empty()) git_.ask({"branch", "--quiet", "-D", fmt::format("moraine/{}/{}", o_.name, id)});
      t.commit.clear();
      t.status = task == nullptr ? Status::kWaiting : Status::kDone;
      continue;
    }
    if (t.status == Status::kRunning && t.commit.empty() && t.attempts > 0) {
      --t.attempts;  // it came to no verdict
      say(fmt::format("{}: goes on where it was interrupted", id));
    }
    const bool again = t.status == Status::kFailed && (o_.only.empty() ? o_.retry_failed : o_.only == id);
    if (again) t.status = Status::kWaiting, t.attempts = 0;
  }
  if (!state_.branch.empty() && state_.branch != branch) {
    const bool under_way = std::any_of(state_.tasks.begin(), state_.tasks.end(), [](const auto& t) {
      return t.second.status == Status::kRunning || !t.second.commit.empty();
    });
    if (under_way)
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("This epic was begun on the branch {}; {} is checked out. git switch {}",
                              state_.branch, branch, state_.branch));
  }
  state_.branch = branch;
}

Outcome Runner::run() {
  std::error_code error;
  fs::create_directories(places_.folder, error);
  const Lock lock(places_.lock);
  const Plan at_start = read_plan();
  require_clean();
  take_up(at_start);
  commit_plan();
  save();

  Outcome out;
  while (true) {
    const Plan plan = read_plan();
    out = {};
    out.n_tasks = static_cast<int>(plan.tasks.size());
    for (const Task& t : plan.tasks) {
      if (t.done) ++out.n_done;
      if (standing(t) == Standing::kFailed) out.failed.push_back(t.id);
    }
    out.blocked = blocked_tasks(plan, [&](const Task& t) { return standing(t); });
    progress_ = {.n_done = out.n_done, .n_tasks = out.n_tasks};
    if (!o_.only.empty() && plan.find(o_.only) == nullptr)
      throw Error(ErrorCode::kNotFound, fmt::format("{} has no task {}.", places_.plan_path, o_.only));
    const Task* next =
        o_.only.empty() ? next_task(plan, [&](const Task& t) { return standing(t); }) : plan.find(o_.only);
    if (next == nullptr || standing(*next) != Standing::kOpen) return out;
    work(plan, *next);
  }
}

void Runner::work(const Plan& plan, const Task& task) {
  TaskState& state = state_.tasks[task.id];
  Worktree tree(git_, o_.work_folder + "/" + task.id, places_.plan_path);
  progress_.task = task.id;
  progress_.attempts = o_.attempts;
  if (!state.commit.empty()) {  // verified before; only the branch lacks it
    forward(task, state);
    tree.remove();
    return;
  }
  if (state.status != Status::kRunning || !tree.is_sound(state.base)) {
    const std::string edits = state.branch;
    state.base = git_.head();
    state.began_ms = unix_ms();
    tree.make(state.base, edits);
  }
  progress_.began_ms = state.began_ms;
  state.status = Status::kRunning;
  state.reason.clear();
  save();
  while (state.attempts < o_.attempts) {
    if (attempt(plan, task, tree, state)) {
      const Verdict verdict = integrate(task, tree, state);
      if (verdict == Verdict::kDone) return tree.remove();
      if (verdict == Verdict::kConflict)
        return fail(
            plan, task, tree, state,
            fmt::format("Its edits conflict with what was committed to {} meanwhile.", state_.branch));
    }
    save();
  }
  fail(plan, task, tree, state,
       fmt::format("It was tried {} time{} without success.", o_.attempts, o_.attempts == 1 ? "" : "s"));
}

ProcessResult Runner::run_agent(const Plan& plan, const Task& task, const Worktree& tree, TaskState& state) {
  ProcessOptions p = o_.agent({.task = task,
                               .prompt = task_prompt(plan, task, state.feedback),
                               .folder = tree.folder(),
                               .attempt = state.attempts});
  p.folder = tree.folder();
  p.environment = in_folder(without_git(p.environment), tree.folder());
  p.stop_fd = o_.stop_fd;
  std::ofstream log(places_.log(task.id, state.attempts), std::ios::trunc);
  size_t logged = 0;
  p.on_output = [&](std::string_view bytes) {
    if ((logged += bytes.size()) <= kMaxLogBytes)
      log.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  };
  p.on_tick = [&] {
    tick("the agent works");
    return !o_.is_lost || !o_.is_lost();
  };
  p.on_start = [&](pid_t group) {
    state.group = group, state.group_start = start_of(group);
    save();
  };
  return run_process(p);
}

ProcessResult Runner::run_acceptance(const Task& task, const Worktree& tree) {
  tick("the acceptance command runs");
  ProcessOptions p;
  p.command = {"/bin/sh", "-c", task.accept};
  p.folder = tree.folder();
  p.environment = in_folder(without_git(o_.environment), tree.folder());
  p.timeout = o_.accept_timeout;
  p.stop_fd = o_.stop_fd;
  p.on_tick = [&] {
    tick("the acceptance command runs");
    return true;
  };
  return run_process(p);
}

// True: the acceptance command is content with what is staged.
bool Runner::attempt(const Plan& plan, const Task& task, Worktree& tree, TaskState& state) {
  const auto is_ready = [&] { return !o_.is_ready || o_.is_ready(); };
  // The task stays under way, and the next run takes this attempt back (take_up).
  const auto lost = [&] {
    return Error(
        ErrorCode::kUnavailable,
        fmt::format("The server has gone while {} was worked on. Start it and run the epic again: it goes on "
                    "there.",
                    task.id));
  };
  ++state.attempts;
  progress_.attempt = state.attempts;
  if (!is_ready()) throw lost();
  say(fmt::format("{}: attempt {} of {}", task.id, state.attempts, o_.attempts));
  tick("the agent works");
  const ProcessResult agent = run_agent(plan, task, tree, state);
  state.group = 0, state.group_start = 0;
  state.work_seconds += agent.seconds;
  if (agent.stopped) {
    save();
    throw Error(ErrorCode::kCancelled, "Stopped; the same command goes on from here.");
  }
  if (agent.given_up) {
    save();
    throw lost();
  }
  std::string damage;
  ProcessResult accept;
  try {
    tree.stage(state.base);
    accept = run_acceptance(task, tree);
    state.work_seconds += accept.seconds;
    if (!accept.stopped && !tree.is_sound(state.base))
      throw Error(ErrorCode::kNotFound, "The acceptance command destroyed its folder.");
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kNotFound) throw;
    damage = e.what();
  }
  if (accept.stopped) {
    save();
    throw Error(ErrorCode::kCancelled, "Stopped; the same command goes on from here.");
  }
  if (damage.empty() && accept.good()) return true;

  if (!is_ready()) throw lost();  // it failed because nobody answered it, whatever it says
  if (!damage.empty()) {
    tree.make(state.base);
    state.feedback += fmt::format("Attempt {}: {} Its edits are lost.\n", state.attempts, damage);
    say(fmt::format("{}: {}", task.id, damage));
  } else {
    state.feedback +=
        feedback_text(state.attempts, agent.ending(), task.accept, accept.ending(), accept.output);
    say(fmt::format("{}: the acceptance command {}", task.id, accept.ending()));
  }
  return false;
}

Runner::Verdict Runner::integrate(const Task& task, Worktree& tree, TaskState& state) {
  std::string commit =
      tree.keep(state.base, fmt::format("{}\n\nEpic: {}\nTask: {}\n", task.title, o_.name, task.id));
  for (int moves = 0; git_.head() != state.base; ++moves) {
    const std::string head = git_.head();
    say(fmt::format("{}: {} has moved; its commit follows and is tried again", task.id, state_.branch));
    const auto moved = moves < kMostMoves ? tree.move_onto(head, commit) : std::nullopt;
    if (!moved) return Verdict::kConflict;
    commit = *moved;
    state.base = head;
    const ProcessResult accept = run_acceptance(task, tree);
    if (accept.good()) continue;
    state.feedback += feedback_text(state.attempts, "was content, and then others' commits came", task.accept,
                                    accept.ending(), accept.output);
    return Verdict::kAgain;
  }
  commit = tree.amend_plan(epic::tick(read_file(places_.plan), task.id));
  // A name of its own until the branch has it: git forgets nothing that has one.
  git_.run({"branch", "--force", fmt::format("moraine/{}/{}", o_.name, task.id), commit});
  state.commit = commit;
  save();
  forward(task, state);
  return Verdict::kDone;
}

void Runner::forward(const Task& task, TaskState& state) {
  if (const std::string branch = git_.ask({"symbolic-ref", "--quiet", "--short", "HEAD"}).output;
      branch != state_.branch)
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format(
            "{} is done, but {} is checked out now instead of {}. git switch {}, and run the epic again.",
            task.id, branch.empty() ? "no branch" : branch, state_.branch, state_.branch));
  const std::string name = fmt::format("moraine/{}/{}", o_.name, task.id);
  if (git_.ask({"merge-base", "--is-ancestor", state.commit, "HEAD"}).code != 0) {
    const Git::Answer merged = git_.ask({"merge", "--quiet", "--ff-only", state.commit});
    if (merged.code != 0) {
      const std::string commit = std::exchange(state.commit, "");
      if (git_.head() != state.base) {  // somebody committed in between: as if it had moved before
        Worktree tree(git_, o_.work_folder + "/" + task.id, places_.plan_path);
        if (!tree.is_sound(state.base)) tree.make(state.base, commit);
        tree.stage(state.base);
        if (integrate(task, tree, state) == Verdict::kDone) return;
        state.status = Status::kWaiting;
        return save();
      }
      state.commit = commit;
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format(
              "{} is done and lies on {}, but {} cannot take it; commit your changes or set them aside "
              "and run the epic again. git says: {}",
              task.id, name, state_.branch, merged.output));
    }
  }
  git_.ask({"branch", "--quiet", "-D", name});
  say(fmt::format("{}: done in {:.0f} s, {} attempt{}, commit {}", task.id, state.work_seconds,
                  state.attempts, state.attempts == 1 ? "" : "s", state.commit.substr(0, 9)));
  state = {.status = Status::kDone,
           .attempts = state.attempts,
           .began_ms = state.began_ms,
           .ended_ms = unix_ms(),
           .work_seconds = state.work_seconds};
  save();
}

void Runner::fail(const Plan& plan, const Task& task, Worktree& tree, TaskState& state,
                  const std::string& reason) {
  std::string stat;
  state.branch.clear();
  if (tree.is_sound(state.base)) {
    tree.stage(state.base);
    if (tree.has_edits(state.base)) {
      stat = tree.diff_stat(state.base);
      const std::string commit = tree.keep(
          state.base,
          fmt::format("Unfinished: {}\n\n{}\n\nEpic: {}\nTask: {}\n", task.title, reason, o_.name, task.id));
      state.branch = fmt::format("moraine/{}/{}", o_.name, task.id);
      git_.run({"branch", "--force", state.branch, commit});
    }
  }
  state.status = Status::kFailed;
  state.reason = reason;
  state.ended_ms = unix_ms();
  write_file(places_.report(task.id), failure_report(plan, task, reason, state.feedback, state.branch, stat));
  save();
  tree.remove();
  say(fmt::format("{}: failed. {} The report: moraine epic escalate {} {}", task.id, reason, o_.name,
                  task.id));
}

}  // namespace moraine::epic
