// The options of `moraine epic`.
#include "option_table.h"

namespace moraine::app {

using namespace options;

void add_epic_options(Table& t, Settings& s) {
  EpicSettings& e = s.epic;
  t.section("Planning", kEpic);
  t.add("--planner WHO", text(e.planner),
        "opencode, claude or codex (with :MODEL), openai:MODEL, anthropic:MODEL, or cmd:COMMAND");
  t.add("--planner-url URL", text(e.planner_url),
        "of openai: and anthropic:, another address than the maker's");
  t.add("--planner-key KEY", text(e.planner_key), "its key")
      .standard("OPENAI_API_KEY or ANTHROPIC_API_KEY, which stay out of the list of processes");
  t.add("--file FILE", texts(e.files), "show openai: and anthropic: this file of the repository too")
      .list()
      .command_line_only();
  t.add("--name NAME", text(e.name), "the plan's name").standard("from its title").command_line_only();
  t.add("--repairs N", integer(e.repairs, 0, 20), "how often a plan with faults is sent back").standard("3");
  t.add("--force", toggle(e.force), "write over a plan of this name").command_line_only();
  t.add("-y, --yes", toggle(e.yes), "send without asking").command_line_only();

  t.section("Running", kEpic);
  t.add("--url URL", text(e.url), "the local server")
      .standard("http://127.0.0.1:8081, or 8080 where nobody answers there");
  t.add("--key, --api-key KEY", text(e.key), "what it was started with, if it asks for one");
  t.add("--agent-cmd COMMAND", text(e.agent_command),
        "in place of OpenCode: runs in the task's folder, the task on its standard input");
  t.add("--attempts N", integer(e.attempts, 1, 100), "how often a task is tried").standard("3");
  t.add("--agent-timeout SECONDS", integer(e.agent_timeout_s, 1, 86400 * 7), "how long one attempt may take")
      .standard("3600");
  t.add("--accept-timeout SECONDS", integer(e.accept_timeout_s, 1, 86400),
        "how long an acceptance command may take")
      .standard("600");
  t.add("--wait SECONDS", integer(e.wait_s, 0, 86400), "how long to wait for a server that has gone")
      .standard("120");
  t.add("--retry", toggle(e.retry), "try those again that failed").command_line_only();
  t.add("--json", toggle(s.json), "print JSON (status)").command_line_only();
}

}  // namespace moraine::app
