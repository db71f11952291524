// A written scenario: what a model is to say, chosen by what it was told last. Reads the file and the prompt;
// making a model say it is scripted_engine.h. A rule is a name, where something must stand, and what:
//
//   # A comment, before the first rule.
//   >>> asked when user: Fix the tests       in a user's message since the last answer
//   I look at the code first.
//                                            what follows is said letter for letter, calls in the model's
//   <tool_call>                              own format; blank lines at the end do not count
//   <function=read>
//   ...
//   >>> read when tool: def median           in a tool's result since the last answer
//   >>> title when system: You write titles  in the system message
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
  std::string name;  // for reports
  Where where = Where::kUser;
  std::string text;
  std::string reply;
};

// Throws Error{kInvalidArgument} with the line.
std::vector<Rule> parse_scenario(std::string_view text);

const Rule* choose(const std::vector<Rule>& rules, const Told& told);  // null: none fits

}  // namespace moraine::scripted
