// Frontier models that plan, and that take over what failed: coding agents of theirs, an API, or any command.
// Owns how each is called and what may leave the machine by it; the prompts are src/epic/prompt.h's.
#pragma once

#include <functional>
#include <string>

#include "app.h"
#include "epic/process.h"

namespace moraine::app {

struct Planner {
  enum class Kind { kOpenCode, kClaude, kCodex, kOpenAi, kAnthropic, kCommand };
  Kind kind = Kind::kCommand;
  std::string model;  // of kCommand: the command; "" the client's own

  bool is_api() const { return kind == Kind::kOpenAi || kind == Kind::kAnthropic; }
};

// "claude", "codex:MODEL", "openai:MODEL", "cmd:COMMAND". Throws options::UsageError.
Planner parse_planner(const std::string& text);

// What is sent, to whom, in words; shown before the first send.
std::string sending_notice(const Planner& planner, const std::string& url, const std::string& material_list);

// From a prompt to the answer. `root`: where clients may read. Throws Error.
std::function<std::string(const std::string&)> planner_call(const Planner& planner,
                                                            const Invocation& invocation,
                                                            const std::string& root, int stop_fd);
// The address that an API's requests go to.
std::string planner_url(const Planner& planner, const Invocation& invocation);

// A job for a client that may edit, in a task's worktree. Throws Error{kUnsupported} for an API, which
// cannot.
epic::ProcessOptions frontier_job(const Planner& planner, const std::string& prompt);

// What an API is shown of a repository: its files' names, and some files whole. `list` gets their names and
// sizes.
std::string repository_material(const std::string& root, const std::vector<std::string>& files,
                                const std::string& tracked, std::string& list);

}  // namespace moraine::app
