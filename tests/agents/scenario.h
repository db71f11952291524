// A written scenario: what a model is to say, chosen by what it was told last. Reads the file and the prompt;
// making a model say it is scripted_engine.h.
//
//   # A comment, before the first rule.
//   >>> user: Fix the failing test            a user's message since the last answer holds this text
//   I look at the code first.
//                                             what follows is said letter for letter, calls in the model's
//   <tool_call>                               own format; blank lines at the end do not count
//   <function=read>
//   ...
//   >>> tool: def median                      a tool's result since the last answer holds this text
//   >>> system: You write titles              the system message does
//
// The first rule that fits is taken.
#pragma once

#include <moraine/tokenizer.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::scripted {

// What a prompt in ChatML says last: the messages after the last answer, and the system message.
struct Told {
  std::string system;
  std::vector<std::string> user, tool;
};
Told told(std::span<const TokenId> prompt, const Tokenizer& tokenizer);

struct Rule {
  enum class Where { kUser, kTool, kSystem };
  std::string name;  // as written: "tool: def median"
  Where where = Where::kUser;
  std::string text;
  std::string reply;
};

// Throws Error{kInvalidArgument} with the line.
std::vector<Rule> parse_scenario(std::string_view text);

const Rule* choose(const std::vector<Rule>& rules, const Told& told);  // null: none fits

}  // namespace moraine::scripted
