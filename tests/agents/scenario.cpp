#include "scenario.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <utility>

namespace moraine::scripted {
namespace {

constexpr std::string_view kRule = ">>> ", kToolResponse = "<tool_response>";

Rule parse_rule(std::string_view line, int number) {
  for (const auto& [where, word] : {std::pair{Rule::Where::kUser, " when user: "},
                                    {Rule::Where::kTool, " when tool: "},
                                    {Rule::Where::kSystem, " when system: "}}) {
    const size_t at = line.find(word);
    if (at == line.npos || at == 0) continue;
    return {.name = std::string(line.substr(0, at)),
            .where = where,
            .text = std::string(line.substr(at + std::string_view(word).size())),
            .reply = ""};
  }
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("Line {} of the scenario is no rule: NAME when user: (or tool:, system:) TEXT.", number));
}

}  // namespace

Told told(std::span<const TokenId> prompt, const Tokenizer& tokenizer) {
  const TokenId begins = tokenizer.find("<|im_start|>"), ends = tokenizer.find("<|im_end|>");
  if (begins == kNoToken || ends == kNoToken)
    throw Error(ErrorCode::kUnsupported, "A scenario needs a model whose messages are in ChatML.");
  Told out;
  for (auto at = std::find(prompt.begin(), prompt.end(), begins); at != prompt.end();) {
    const auto next = std::find(at + 1, prompt.end(), begins);
    const auto end = std::find(at + 1, next, ends);
    const std::string message = tokenizer.decode({at + 1, end});
    const size_t line = std::min(message.find('\n'), message.size());
    const std::string role = message.substr(0, line);
    const std::string text = message.substr(std::min(line + 1, message.size()));
    if (role == "system" && out.system.empty()) out.system = text;
    if (role == "assistant" && end != next) out.user.clear(), out.tool.clear();  // an answer, not its opening
    if (role == "user") (text.starts_with(kToolResponse) ? out.tool : out.user).push_back(text);
    at = next;
  }
  return out;
}

std::vector<Rule> parse_scenario(std::string_view text) {
  std::vector<Rule> rules;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with(kRule))
      rules.push_back(parse_rule(line.substr(kRule.size()), number));
    else if (!rules.empty())
      rules.back().reply += std::string(line) + "\n";
    else if (!line.empty() && !line.starts_with('#'))
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("Line {} of the scenario stands before the first rule.", number));
  }
  for (Rule& rule : rules) rule.reply.erase(rule.reply.find_last_not_of('\n') + 1);
  return rules;
}

const Rule* choose(const std::vector<Rule>& rules, const Told& told) {
  for (const Rule& rule : rules) {
    const auto holds = [&](const std::string& message) {
      return message.find(rule.text) != std::string::npos;
    };
    const bool fits = rule.where == Rule::Where::kSystem ? holds(told.system)
                      : rule.where == Rule::Where::kTool
                          ? std::any_of(told.tool.begin(), told.tool.end(), holds)
                          : std::any_of(told.user.begin(), told.user.end(), holds);
    if (fits) return &rule;
  }
  return nullptr;
}

}  // namespace moraine::scripted
