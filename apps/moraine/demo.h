// What `moraine demo` shows of one server, and how it is told. The acts: demo.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moraine::app {

// An answer to POST /completion or to a chat, as timed by the server.
struct DemoAnswer {
  std::string text;
  int64_t n_prompt = 0, n_evaluated = 0;  // tokens of the prompt, and of them those that were computed
  int64_t n_generated = 0;
  double prompt_ms = 0, generated_ms = 0;

  double tokens_per_second() const { return generated_ms > 0 ? 1e3 * n_generated / generated_ms : 0; }
};

struct DemoServer {
  std::string name;                                   // "moraine", "llama-server"
  std::optional<DemoAnswer> copy_plain, copy;         // a file with a function renamed: speculation off, on
  std::optional<DemoAnswer> long_first, long_second;  // a long prompt, and the same again
  std::optional<DemoAnswer> long_restarted;           // and after a restart
  std::optional<DemoAnswer> cut, resumed;             // killed in the middle of an answer; asked again
  bool same_copy = false, same_long = false, same_resumed = false;  // letter for letter
  std::string tool_call;  // name(arguments); empty: none that follows its schema
};

struct DemoReport {
  std::string model;
  std::vector<DemoServer> servers;  // ours, then the peer
};
std::string demo_table(const DemoReport& report);
std::string demo_json(const DemoReport& report);
bool all_well(const DemoReport& report);  // of ours: same where it must be, a call that follows its schema

}  // namespace moraine::app
