// `moraine epic plan|import|run|status|escalate`: which is meant, and making plans. Working through them is
// epic_run.cpp, looking at them epic_status.cpp; the machinery is src/epic.
#include <fmt/format.h>
#include <moraine/error.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "base/xxh64.h"
#include "child_environment.h"
#include "epic/files.h"
#include "epic/planner.h"
#include "epic_planner.h"
#include "epic_session.h"
#include "signals.h"
#include "usage/store.h"
#include "usage_place.h"

namespace moraine::app {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPlanBytes = 1 << 20;

std::string working_folder() {
  std::error_code error;
  return fs::current_path(error).string();
}

// Writes a plan under its name, over none that is there.
int keep_plan(EpicSession& session, const std::string& text, const epic::Plan& plan) {
  const EpicSettings& s = session.invocation.settings.epic;
  const std::string name = s.name.empty() ? epic::name_from_title(plan.title) : s.name;
  if (!epic::is_name(name))
    throw options::UsageError(
        fmt::format("{} cannot be a plan's name; small letters, digits and dashes can: --name NAME",
                    name.empty() ? "the title" : name));
  const epic::EpicPlaces places(session.repository, name);
  if (fs::exists(places.plan) && !s.force)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} is there already: --force writes over it, --name NAME gives another name.",
                            places.plan_path));
  std::error_code error;
  fs::create_directories(fs::path(places.plan).parent_path(), error);
  epic::write_file(places.plan, text);
  Console& console = session.invocation.console;
  console.line(fmt::format("Wrote {}: {} task{}.", places.plan_path, plan.tasks.size(),
                           plan.tasks.size() == 1 ? "" : "s"));
  console.line(fmt::format(
      "Read it, edit it; its acceptance commands will be run on this machine. Then: moraine epic run {}",
      name));
  return kOk;
}

// A plan that cannot be used is kept beside, for a person to mend.
[[noreturn]] void refuse_plan(EpicSession& session, const epic::PlanningResult& result) {
  std::error_code error;
  const std::string folder = session.repository.git_folder + "/moraine", path = folder + "/refused-plan.md";
  fs::create_directories(folder, error);
  epic::write_file(path, result.text);
  throw Error(ErrorCode::kInvalidArgument,
              terminal_safe(fmt::format(
                  "The plan still has faults:\n{}It lies in {}; mended, it is taken by: moraine epic "
                  "import FILE",
                  epic::faults_text(result.parsed.faults), path)));
}

int plan_command(EpicSession& session) {
  const EpicSettings& s = session.invocation.settings.epic;
  std::string wish;
  for (const std::string& word : s.arguments) wish += (wish.empty() ? "" : " ") + word;
  if (wish.empty()) throw options::UsageError("say what is to be done: moraine epic plan \"...\"");
  const Planner planner = parse_planner(s.planner);
  std::string list, material;
  if (planner.is_api())
    material = repository_material(session.repository.root, s.files, session.git.run({"ls-files"}), list);
  const std::string url = planner.is_api() ? planner_url(planner, session.invocation) : "";
  if (!agreed(session.invocation, sending_notice(planner, url, list))) return kFailure;

  Signals signals{SIGINT, SIGTERM, SIGHUP};
  Console& console = session.invocation.console;
  console.line("Planning; this takes minutes.");
  const epic::PlanningResult result =
      epic::make_plan(wish, material, s.repairs,
                      planner_call(planner, session.invocation, session.repository.root, signals.fd()),
                      [&](const std::vector<epic::Fault>& faults) {
                        console.line(terminal_safe("The plan has faults, and is asked for again:\n" +
                                                   epic::faults_text(faults)));
                      });
  if (!result.parsed.faults.empty()) refuse_plan(session, result);
  return keep_plan(session, result.text, result.parsed.plan);
}

int import_command(EpicSession& session) {
  const EpicSettings& s = session.invocation.settings.epic;
  if (s.arguments.size() != 1) throw options::UsageError("say which file: moraine epic import FILE");
  const std::string text = epic::read_file(s.arguments[0], kMaxPlanBytes);
  const epic::Parsed parsed = epic::parse_plan(text);
  if (!parsed.faults.empty())
    throw Error(ErrorCode::kInvalidArgument,
                terminal_safe(fmt::format("{} is no plan that can be worked through:\n{}", s.arguments[0],
                                          epic::faults_text(parsed.faults))));
  return keep_plan(session, text, parsed.plan);
}

}  // namespace

EpicSession::EpicSession(Invocation& i)
    : invocation(i), git(working_folder(), child_environment()), repository(epic::find_repository(git)) {
  git = git.at(repository.root);
}

std::vector<std::string> EpicSession::names() const {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(repository.root + "/epics", error))
    if (entry.path().extension() == ".md" && epic::is_name(entry.path().stem().string()))
      out.push_back(entry.path().stem().string());
  std::sort(out.begin(), out.end());
  return out;
}

std::string EpicSession::name(size_t argument) const {
  const auto& arguments = invocation.settings.epic.arguments;
  if (arguments.size() > argument) {
    std::string name = arguments[argument];
    if (name.starts_with("epics/") && name.ends_with(".md")) name = name.substr(6, name.size() - 9);
    if (!epic::is_name(name)) throw options::UsageError(fmt::format("{} is no plan's name", name));
    return name;
  }
  const auto all = names();
  if (all.size() == 1) return all[0];
  throw options::UsageError(all.empty() ? "there is no plan in epics/: moraine epic plan or import makes one"
                                        : fmt::format("say which: {}", fmt::join(all, ", ")));
}

epic::Plan EpicSession::plan(const std::string& name) const {
  const epic::EpicPlaces places(repository, name);
  if (!fs::exists(places.plan))
    throw Error(ErrorCode::kNotFound, fmt::format("{} is not there.", places.plan_path));
  epic::Parsed parsed = epic::parse_plan(epic::read_file(places.plan, kMaxPlanBytes));
  if (!parsed.faults.empty())
    throw Error(ErrorCode::kInvalidArgument, terminal_safe(fmt::format("{} has faults:\n{}", places.plan_path,
                                                                       epic::faults_text(parsed.faults))));
  return std::move(parsed.plan);
}

std::string EpicSession::work_folder(const std::string& name) const {
  const auto absolute = [&](const char* variable) -> std::string {
    const char* value = invocation.env(variable);
    return value && value[0] == '/' ? value : "";
  };
  std::string cache = absolute("XDG_CACHE_HOME");
  if (cache.empty() && !absolute("HOME").empty()) cache = absolute("HOME") + "/.cache";
  if (cache.empty())
    throw Error(ErrorCode::kNotFound, "HOME is not set, and the tasks' folders lie in its .cache.");
  const std::string& root = repository.root;
  const uint64_t hash = Xxh64::of(std::as_bytes(std::span(root.data(), root.size())));
  return fmt::format("{}/moraine/epics/{:016x}/{}", cache, hash, name);
}

bool agreed(const Invocation& invocation, const std::string& notice) {
  invocation.console.line(terminal_safe(notice));
  if (invocation.settings.epic.yes) return true;
  if (!is_terminal(STDIN_FILENO))
    throw options::UsageError("it asks before it sends, and nobody is there to answer: add --yes");
  std::cerr << "Go on? [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

std::map<std::string, usage::Sums> epic_usage(const Invocation& invocation, const std::string& name,
                                              int64_t since_ms) {
  std::map<std::string, usage::Sums> out;
  try {
    const std::string path = usage_file(invocation.settings.usage, invocation.env);
    std::error_code error;
    if (path.empty() || !fs::exists(path, error)) return out;
    const auto store = usage::Store::open_existing(path);
    store.each({.since_ms = since_ms, .epic = name}, [&](const usage::Record& r) {
      usage::Sums& s = out[r.task];
      ++s.n_requests;
      s.n_fresh += r.n_fresh, s.n_cached += r.n_cached, s.n_generated += r.n_generated;
    });
  } catch (const Error&) {  // a meter that cannot be read must not end an epic
  }
  return out;
}

std::string tokens_words(const usage::Sums& s) {
  if (s.n_requests == 0) return "";
  const auto short_count = [](int64_t n) {
    return n < 10'000      ? count_text(n)
           : n < 1'000'000 ? fmt::format("{:.1f}k", n / 1e3)
                           : fmt::format("{:.1f}M", n / 1e6);
  };
  return fmt::format("{} tokens read, {} known, {} written", short_count(s.n_fresh), short_count(s.n_cached),
                     short_count(s.n_generated));
}

int epic_command(Invocation& invocation) {
  const std::string& command = invocation.settings.epic.command;
  if (command.empty()) throw options::UsageError("say what: plan, import, run, status or escalate");
  EpicSession session(invocation);
  if (command == "plan") return plan_command(session);
  if (command == "import") return import_command(session);
  if (command == "run") return epic_run(session);
  if (command == "status") return epic_status(session);
  if (command == "escalate") return epic_escalate(session);
  throw options::UsageError(fmt::format("{} is none of plan, import, run, status and escalate", command));
}

}  // namespace moraine::app
