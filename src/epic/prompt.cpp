#include "epic/prompt.h"

#include <fmt/format.h>

#include <algorithm>

namespace moraine::epic {
namespace {

// An agent gets the prompt as an argument, and the system allows 128 KiB of one.
constexpr size_t kMaxPart = 20 << 10, kMaxFeedback = 24 << 10;

std::string bounded(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  size_t cut = most;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  return text.substr(0, cut) + "\n[...]\n";
}

// The end of it: the last attempts matter most.
std::string bounded_end(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  size_t cut = text.size() - most;
  while (cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) ++cut;
  return "[...]\n" + text.substr(cut);
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

constexpr char kFormat[] = R"(<epic>
# Title of the epic

Context: what the repository is, how it is built and tested, the conventions and decisions that every task needs to
know. Each task is done by somebody who sees this context and that task alone.

## Tasks

- [ ] **short-id**: What is done, in one line
  - Files: src/a.py, tests/test_a.py
  - Accept: `python3 -m unittest tests.test_a`

  What exactly to do: names, signatures, behaviour, edge cases, what to leave alone.

- [ ] **another-id**: The next one
  - Files: src/b.py
  - After: short-id
  - Accept: `python3 -m unittest`

  Its instructions.
</epic>)";

constexpr char kRules[] =
    "Rules: ids are small letters, digits and dashes. Each task is a step of its own that leaves the "
    "repository in "
    "order, small enough for a session of an hour, with all decisions made: names of files, functions and "
    "formats. "
    "Files are paths inside the repository. Accept is one shell command, run at the repository's root, that "
    "fails "
    "before the task is done and succeeds once it is; a task that needs new tests writes them. After names "
    "the tasks "
    "that must be done before. What belongs to a task is indented by two spaces.";

}  // namespace

std::string task_prompt(const Plan& plan, const Task& task, const std::string& feedback) {
  std::string done;
  for (const Task& t : plan.tasks)
    if (t.done) done += fmt::format("- {}: {}\n", t.id, t.title);
  std::string text = fmt::format(
      "Do one task in the repository in the current folder. It is part of a larger plan; do this task "
      "alone.\n\n"
      "# Task {}: {}\n\n{}\nFiles: {}\n\nIt is done when this command succeeds at the repository's root:\n\n "
      "   {}\n\n"
      "Run it yourself before you finish. Do not commit. Do not change the plan in epics/.\n",
      task.id, task.title, bounded(task.details, kMaxPart), joined(task.files), task.accept);
  if (!plan.context.empty())
    text += fmt::format("\n# The plan: {}\n\n{}", plan.title, bounded(plan.context, kMaxPart));
  if (!done.empty()) text += "\nDone already:\n" + bounded(done, kMaxPart);
  if (!feedback.empty())
    text += fmt::format(
        "\n# What happened so far\n\nThe edits of earlier attempts are in the folder, as far as they still "
        "fit. Find out why "
        "they did not do, and go on from there.\n\n{}",
        bounded_end(feedback, kMaxFeedback));
  return text;
}

std::string feedback_text(int attempt, const std::string& agent_ending, const std::string& command,
                          const std::string& command_ending, const std::string& output) {
  std::string text = fmt::format("Attempt {}: the agent {}", attempt, agent_ending);
  if (command_ending.empty()) return text + ".\n";
  return text + fmt::format("; then `{}` {}:\n\n~~~\n{}\n~~~\n\n", command, command_ending,
                            bounded_end(output, 8 << 10));
}

std::string failure_report(const Plan& plan, const Task& task, const std::string& reason,
                           const std::string& feedback, const std::string& branch,
                           const std::string& diff_stat) {
  std::string text = fmt::format(
      "# {}: {} was not done\n\nOf the plan \"{}\". {}\n\n## The task\n\n{}\nFiles: {}\n\nAccepted by:\n\n   "
      " {}\n",
      task.id, task.title, plan.title, reason, task.details, joined(task.files), task.accept);
  text += branch.empty() ? "\nNothing was edited.\n"
                         : fmt::format("\n## The edits\n\nThey are on the branch {}:\n\n~~~\n{}\n~~~\n",
                                       branch, diff_stat);
  return text + "\n## The attempts\n\n" + (feedback.empty() ? "None was finished.\n" : feedback);
}

std::string planning_prompt(std::string_view wish, const std::string& material) {
  std::string text = fmt::format(
      "Plan an epic for this repository: research it, decide, and break the work into discrete tasks that a "
      "smaller "
      "model can do one by one, each in a fresh session. Change no files.\n\n# What is wanted\n\n{}\n\n"
      "# The answer\n\nAnswer with the plan alone, in exactly this form:\n\n{}\n\n{}\n",
      wish, kFormat, kRules);
  if (!material.empty()) text += "\n# The repository\n\n" + material;
  return text;
}

std::string repair_prompt(std::string_view wish, const std::string& plan, const std::vector<Fault>& faults) {
  return fmt::format(
      "This plan of an epic has faults. Mend them and answer with the whole plan alone, in the same form.\n\n"
      "# The faults\n\n{}\n# The form\n\n{}\n\n{}\n\n# What is wanted\n\n{}\n\n# The "
      "plan\n\n<epic>\n{}</epic>\n",
      faults_text(faults), kFormat, kRules, wish, plan);
}

std::string plan_in(std::string_view answer) {
  const auto whole = [](std::string_view s) {
    s.remove_prefix(std::min(s.find_first_not_of(" \t\r\n"), s.size()));
    std::string out(s.substr(0, s.find_last_not_of(" \t\r\n") + 1));
    return out + "\n";
  };
  // The last one: an answer may quote the form first.
  const size_t end = answer.rfind("</epic>");
  const size_t begin = end == answer.npos ? answer.npos : answer.rfind("<epic>", end);
  if (begin != answer.npos) return whole(answer.substr(begin + 6, end - begin - 6));
  size_t title = answer.starts_with("# ") ? 0 : answer.find("\n# ");
  if (title == answer.npos) return whole(answer);
  std::string_view text = answer.substr(title == 0 ? 0 : title + 1);
  // It may have stood in a fence, whose end is then the one mark too many.
  size_t fences = text.starts_with("```") ? 1 : 0;
  for (size_t at = text.find("\n```"); at != text.npos; at = text.find("\n```", at + 1)) ++fences;
  if (const size_t last = text.rfind("\n```"); fences % 2 == 1 && last != text.npos)
    text = text.substr(0, last);
  return whole(text);
}

}  // namespace moraine::epic
