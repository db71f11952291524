// What `moraine bench agents` measures of one line of its file, and the report made of all of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::app {

// A line: a request of one of several sessions. tools/agent_sessions.py writes such files.
struct AgentLine {
  int64_t step = 0;            // lines of one step are sent together, steps in order
  std::string session;         // "main", "sub1"
  std::string kind;            // "turn", "title", "subagent", "edit", "cancel", "retry", "restart"
  std::string body;            // of POST /v1/chat/completions, JSON; empty for a restart
  double cancel_after_s = -1;  // < 0: never
};
// Throws Error{kInvalidArgument} naming the line.
std::vector<AgentLine> parse_agent_lines(std::string_view text, const std::string& name);

struct AgentTurn {
  AgentLine line;              // without its body
  bool after_restart = false;  // the session's first request since the server was started again
  int64_t n_prompt = -1, n_evaluated = -1, n_generated = -1;  // tokens, as the server says; < 0: it did not
  int64_t n_again = -1;  // of those evaluated, how many had been part of an earlier prompt's same beginning
  double first_token_ms = -1, total_ms = -1;
  bool cancelled = false;
  std::string error;  // "": none
};

std::string agents_report(const std::vector<AgentTurn>& turns, const std::string& server,
                          int n_restarts_skipped);
std::string agents_json(const std::vector<AgentTurn>& turns, const std::string& server,
                        int n_restarts_skipped);

}  // namespace moraine::app
