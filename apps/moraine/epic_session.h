// What the commands of `moraine epic` share: the repository they are in, the plan that is meant, questions.
#pragma once

#include <map>
#include <string>

#include "app.h"
#include "epic/git.h"
#include "epic/plan.h"
#include "epic/runner.h"
#include "usage/summary.h"

namespace moraine::app {

struct EpicSession {
  explicit EpicSession(Invocation& invocation);

  Invocation& invocation;
  epic::Git git;  // at the repository's root
  epic::Repository repository;

  // The plan of `--name`, the argument, or the only one there is. Throws options::UsageError.
  std::string name(size_t argument = 0) const;
  std::vector<std::string> names() const;  // of all plans in epics/, sorted
  // Reads and checks it. Throws Error.
  epic::Plan plan(const std::string& name) const;
  // Where its worktrees are: in the user's cache folder.
  std::string work_folder(const std::string& name) const;
};

// True: go on. Asks on a terminal; elsewhere --yes must have been given, or options::UsageError is thrown.
bool agreed(const Invocation& invocation, const std::string& notice);

// Tokens by task of an epic, from the meter; empty where there is none.
std::map<std::string, usage::Sums> epic_usage(const Invocation& invocation, const std::string& epic,
                                              int64_t since_ms = 0);
// "12.3k computed, 1.2M cached, 3.4k written"; "" for none.
std::string tokens_words(const usage::Sums& sums);

int epic_run(EpicSession& session);
int epic_escalate(EpicSession& session);
int epic_status(EpicSession& session);

}  // namespace moraine::app
