#include "epic/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "epic/graph.h"

namespace moraine::epic {
namespace {

constexpr size_t kMaxBytes = 1 << 20, kMaxTasks = 200, kMaxFaults = 20, kMaxId = 40, kMaxTitle = 200,
                 kMaxAccept = 2000;

std::string_view trimmed(std::string_view s) {
  const size_t begin = s.find_first_not_of(" \t\r");
  if (begin == s.npos) return {};
  return s.substr(begin, s.find_last_not_of(" \t\r") - begin + 1);
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// Without the marks that make it bold or code.
std::string_view unmarked(std::string_view s) {
  s = trimmed(s);
  for (const std::string_view mark : {"**", "`"})
    if (s.size() >= 2 * mark.size() && s.starts_with(mark) && s.ends_with(mark))
      s = s.substr(mark.size(), s.size() - 2 * mark.size());
  return trimmed(s);
}

std::vector<std::string> list_of(std::string_view s) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= s.size();) {
    const size_t end = std::min(s.find(',', at), s.size());
    const std::string_view piece = unmarked(s.substr(at, end - at));
    if (!piece.empty() && piece != "-" && lower(piece) != "none") out.emplace_back(piece);
    at = end + 1;
  }
  return out;
}

bool is_fence(std::string_view line) {
  const std::string_view t = trimmed(line);
  return t.starts_with("```") || t.starts_with("~~~");
}

// "- [x] rest": what stands behind the box, and whether it is ticked.
bool box_of(std::string_view line, bool& done, std::string_view& rest) {
  if (line.size() < 5 || (line[0] != '-' && line[0] != '*') || line.substr(1, 2) != " [" || line[4] != ']')
    return false;
  if (line[3] != ' ' && line[3] != 'x' && line[3] != 'X') return false;
  done = line[3] != ' ';
  rest = trimmed(line.substr(5));
  return true;
}

// "Accept: value" with or without a list's dash: the word in lower case, and the value.
bool field_of(std::string_view line, std::string& word, std::string_view& value, bool& has_dash) {
  std::string_view t = trimmed(line);
  has_dash = t.starts_with("- ") || t.starts_with("* ");
  if (has_dash) t = trimmed(t.substr(2));
  const size_t colon = t.find(':');
  if (colon == t.npos || colon == 0) return false;
  std::string_view name = t.substr(0, colon);
  value = trimmed(t.substr(colon + 1));
  if (name.starts_with("**")) {  // "**Accept:** value" and "**Accept**: value"
    name.remove_prefix(2);
    if (name.ends_with("**"))
      name.remove_suffix(2);
    else if (value.starts_with("**"))
      value = trimmed(value.substr(2));
  }
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (name.empty() || !std::all_of(name.begin(), name.end(), letter)) return false;
  word = lower(name);
  return true;
}

// Inside the repository, and not git's own.
bool is_inside(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.size() > 500) return false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part == ".." || part == ".git" || part.find('\\') != part.npos) return false;
    at = end + 1;
  }
  return true;
}

class Parser {
 public:
  Parsed run(std::string_view text) {
    if (text.size() > kMaxBytes) {
      fault(0, fmt::format("The plan has {} bytes; at most {} are read.", text.size(), kMaxBytes));
      return std::move(out_);
    }
    int number = 0;
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      ++number;
      if (std::any_of(line.begin(), line.end(),
                      [](unsigned char c) { return (c < ' ' && c != '\t') || c == 127; }))
        fault(number, "There is a control character in it.");
      else
        take(line, number);
    }
    finish();
    return std::move(out_);
  }

 private:
  void fault(int line, std::string message) {
    if (out_.faults.size() < kMaxFaults) out_.faults.push_back({line, std::move(message)});
  }
  Task* current() { return out_.plan.tasks.empty() ? nullptr : &out_.plan.tasks.back(); }

  void take(std::string_view line, int number) {
    const bool fence = is_fence(line);
    const bool plain = !in_fence_ && !fence;
    if (fence) in_fence_ = !in_fence_;
    if (plain && out_.plan.title.empty() && !in_tasks_ && line.starts_with("# ")) {
      out_.plan.title = trimmed(line.substr(2));
      return;
    }
    if (plain && line.starts_with("## ")) {
      in_tasks_ = lower(trimmed(line.substr(3))) == "tasks";
      if (in_tasks_ && had_tasks_) fault(number, "There are two sections named Tasks; there can be one.");
      had_tasks_ = had_tasks_ || in_tasks_;
      if (in_tasks_) return;
    }
    if (in_tasks_)
      take_task_line(line, number, plain);
    else if (!out_.plan.title.empty())
      out_.plan.context += std::string(line) + "\n";
  }

  void take_task_line(std::string_view line, int number, bool plain) {
    bool done = false, has_dash = false;
    std::string_view rest, value;
    std::string word;
    if (plain && box_of(line, done, rest)) return begin_task(rest, done, number);
    if (trimmed(line).empty()) {
      if (current() && !current()->details.empty()) current()->details += "\n";
      return;
    }
    const bool indented = line.starts_with("  ") || line.starts_with("\t");
    if (!in_fence_ && !indented && !is_fence(line) && !line.starts_with("<!--")) {
      fault(number,
            "It belongs to no task: a task begins with `- [ ] id: title`, and what belongs to it is indented "
            "by two "
            "spaces.");
      return;
    }
    if (!current()) return;
    if (plain && field_of(line, word, value, has_dash)) {
      if (word == "files" || word == "after" || word == "accept") return take_field(word, value, number);
      if (has_dash && current()->details.empty()) {
        fault(number,
              fmt::format("{} is no field of a task; there are Files, After and Accept. What to do stands "
                          "below them, without a dash.",
                          word));
        return;
      }
    }
    current()->details += std::string(line.substr(std::min<size_t>(2, line.find_first_not_of(" \t")))) + "\n";
  }

  void begin_task(std::string_view rest, bool done, int number) {
    if (out_.plan.tasks.size() >= kMaxTasks) {
      if (out_.plan.tasks.size() == kMaxTasks)
        fault(number, fmt::format("There are more than {} tasks.", kMaxTasks));
      in_tasks_ = false;
      return;
    }
    Task task;
    task.done = done;
    task.line = number;
    size_t colon = rest.find(':');
    // "**id:** title" has its marks around the colon.
    if (rest.starts_with("**") && colon != rest.npos && rest.substr(colon + 1).starts_with("**")) {
      task.id = trimmed(rest.substr(2, colon - 2));
      task.title = trimmed(rest.substr(colon + 3));
    } else if (colon != rest.npos) {
      task.id = unmarked(rest.substr(0, colon));
      task.title = trimmed(rest.substr(colon + 1));
    }
    if (!is_name(task.id))
      fault(
          number,
          fmt::format("A task begins with `- [ ] id: title`, its id of at most {} small letters, digits and "
                      "dashes.",
                      kMaxId));
    else if (!ids_.insert(task.id).second)
      fault(number, fmt::format("Two tasks are named {}.", task.id));
    if (task.title.empty() || task.title.size() > kMaxTitle)
      fault(number, fmt::format("The title of {} must have 1 to {} bytes.", task.id, kMaxTitle));
    out_.plan.tasks.push_back(std::move(task));
  }

  void take_field(const std::string& word, std::string_view value, int number) {
    Task& task = *current();
    if (word == "files") {
      task.files = list_of(value);
      for (const std::string& file : task.files)
        if (!is_inside(file)) fault(number, fmt::format("{} is no path inside the repository.", file));
    } else if (word == "after") {
      task.after = list_of(value);
    } else {
      if (!task.accept.empty()) fault(number, fmt::format("{} has two acceptance commands.", task.id));
      task.accept = unmarked(value);
      if (task.accept.empty() || task.accept.size() > kMaxAccept)
        fault(number, fmt::format("The acceptance command of {} must be one line of 1 to {} bytes.", task.id,
                                  kMaxAccept));
    }
  }

  void finish() {
    Plan& plan = out_.plan;
    plan.context = trimmed_block(plan.context);
    if (plan.title.empty()) fault(0, "The plan has no title: its first line is `# Title`.");
    if (in_fence_) fault(0, "A block of code (```) is not closed.");
    if (plan.tasks.empty())
      fault(0, "The plan has no tasks: a line `## Tasks`, and below it `- [ ] id: title`.");
    for (Task& task : plan.tasks) {
      task.details = trimmed_block(task.details);
      if (task.accept.empty())
        fault(task.line,
              fmt::format("{} has no acceptance command: `  - Accept: ` and a command that succeeds when the "
                          "task is done.",
                          task.id));
      if (task.files.empty())
        fault(task.line, fmt::format("{} names no files: `  - Files: ` and paths.", task.id));
      for (const std::string& id : task.after)
        if (!plan.find(id))
          fault(task.line, fmt::format("{} comes after {}, which is no task.", task.id, id));
    }
    if (const auto cycle = find_cycle(plan); !cycle.empty()) {
      std::string circle;
      for (const std::string& id : cycle) circle += (circle.empty() ? "" : " after ") + id;
      fault(plan.find(cycle[0])->line, fmt::format("These tasks wait for each other: {}.", circle));
    }
  }

  static std::string trimmed_block(const std::string& s) {
    const size_t begin = s.find_first_not_of(" \t\n");
    if (begin == s.npos) return "";
    const size_t line = s.rfind('\n', begin);
    const size_t from = line == s.npos ? 0 : line + 1;  // the first line keeps its indentation
    return s.substr(from, s.find_last_not_of(" \t\n") - from + 1) + "\n";
  }

  Parsed out_;
  std::set<std::string> ids_;
  bool in_tasks_ = false, had_tasks_ = false, in_fence_ = false;
};

}  // namespace

const Task* Plan::find(std::string_view id) const {
  for (const Task& task : tasks)
    if (task.id == id) return &task;
  return nullptr;
}

Parsed parse_plan(std::string_view text) { return Parser().run(text); }

std::string faults_text(const std::vector<Fault>& faults) {
  std::string text;
  for (const Fault& f : faults)
    text += f.line > 0 ? fmt::format("line {}: {}\n", f.line, f.message) : f.message + "\n";
  return text;
}

std::string tick(std::string_view text, std::string_view id) {
  std::string out(text);
  const Parsed parsed = parse_plan(text);
  const Task* task = parsed.plan.find(id);
  if (task == nullptr) return out;
  size_t at = 0;
  for (int line = 1; line < task->line; ++line) at = out.find('\n', at) + 1;
  out[at + 3] = 'x';
  return out;
}

std::string name_from_title(std::string_view title) {
  std::string name;
  for (const char c : lower(title)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      name += c;
    else if (!name.empty() && name.back() != '-')
      name += '-';
    if (name.size() == kMaxId) break;
  }
  while (name.ends_with('-')) name.pop_back();
  return name;
}

bool is_name(std::string_view s) {
  return !s.empty() && s.size() <= kMaxId && s.front() != '-' && s.back() != '-' &&
         std::all_of(s.begin(), s.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

}  // namespace moraine::epic
