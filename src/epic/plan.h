// An epic's plan, epics/NAME.md: Markdown that people read and edit, and its schema. Owns the format, what
// makes a plan wrong, and ticking a box; knows no files and no processes. Who works through it: runner.h.
//
//   # Title
//   Context: whatever helps every task.
//
//   ## Tasks
//   - [ ] **parser**: Read the header
//     - Files: src/parser.py, tests/test_parser.py
//     - After: other-task
//     - Accept: `python3 -m unittest tests.test_parser`
//
//     What to do, indented, as long as it needs to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moraine::epic {

struct Task {
  std::string id;                  // [a-z0-9-], unique
  std::string title;               // one line
  std::vector<std::string> files;  // what it touches: relative paths; guidance for the agent
  std::vector<std::string> after;  // ids of what must be done before
  std::string accept;              // a shell command, run at the repository's root; 0 is done
  std::string details;             // Markdown
  bool done = false;               // its box is ticked
  int line = 0;                    // of its box, from 1
};

struct Plan {
  std::string title, context;
  std::vector<Task> tasks;

  const Task* find(std::string_view id) const;  // null: none of that id
};

struct Fault {
  int line = 0;  // from 1; 0: the whole file
  std::string message;
};

struct Parsed {
  Plan plan;
  std::vector<Fault> faults;  // none: the plan can be worked through
};

// Never throws for what the text says. At most 20 faults are told.
Parsed parse_plan(std::string_view text);
std::string faults_text(const std::vector<Fault>& faults);  // one a line: "line 7: ..."

// The text with this task's box ticked, all else letter for letter; as it is where there is no such box.
std::string tick(std::string_view text, std::string_view id);

// "mend-the-parser" from a title; "" where nothing of it can stand in a file's name.
std::string name_from_title(std::string_view title);
// A name that may be a file's and a branch's part: [a-z0-9][a-z0-9-]*, at most 40.
bool is_name(std::string_view text);

}  // namespace moraine::epic
