#include "inspect_prompt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <moraine/error.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "console.h"
#include "gguf/value.h"
#include "tokenizer/load.h"

namespace moraine::app {
namespace {

using OrderedJson = nlohmann::ordered_json;

struct Ability {
  const char* key;   // in JSON
  const char* name;  // for people; null: part of "tools"
  bool chat::TemplateCaps::* member;
};
constexpr Ability kAbilities[] = {
    {"system_role", "system messages", &chat::TemplateCaps::system_role},
    {"tools", "tools", &chat::TemplateCaps::tools},
    {"tool_calls", nullptr, &chat::TemplateCaps::tool_calls},
    {"tool_results", nullptr, &chat::TemplateCaps::tool_results},
    {"reasoning", "reasoning", &chat::TemplateCaps::reasoning},
    {"enable_thinking", "a switch for thinking", &chat::TemplateCaps::enable_thinking},
};

std::string token_text(const Tokenizer& tokenizer, TokenId id) {
  return fmt::format("{} {}", id, gguf::escape_text(tokenizer.token_text(id)));
}

OrderedJson token_json(const Tokenizer& tokenizer, TokenId id) {
  if (id == kNoToken) return nullptr;
  return {{"id", id}, {"text", std::string(tokenizer.token_text(id))}};
}

int count_special(const Tokenizer& tokenizer) {
  int n = 0;
  for (TokenId id = 0; tokenizer.contains(id); ++id) {
    const TokenType type = tokenizer.type(id);
    n += type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown;
  }
  return n;
}

std::string tokenizer_text(const Tokenizer& t) {
  const SpecialTokens& special = t.special();
  const auto row = [](const char* name, const std::string& value) {
    return fmt::format("  {:<16} {}\n", name, value);
  };
  const auto edge = [&](TokenId id, bool added) {
    if (id == kNoToken) return std::string("none");
    return token_text(t, id) + (added ? ", added" : ", not added");
  };
  std::string out =
      row("kind", t.pre().empty() ? fmt::format("SentencePiece ({})", t.model())
                                  : fmt::format("byte-level BPE ({}), words of \"{}\"", t.model(), t.pre()));
  out += row("tokens", fmt::format("{}, {} of them special", count_text(static_cast<int64_t>(t.size())),
                                   count_special(t)));
  out += row("begin of text", edge(special.bos, special.add_bos));
  out += row("end of text", edge(special.eos, special.add_eos));
  std::vector<std::string> ends;
  for (const TokenId id : t.end_of_generation()) ends.push_back(token_text(t, id));
  out += row("end of answer", ends.empty() ? "none" : fmt::format("{}", fmt::join(ends, ", ")));
  const bool fim = special.fim_prefix != kNoToken && special.fim_suffix != kNoToken;
  if (fim) out += row("code infilling", "yes");
  return out;
}

}  // namespace

PromptReport report_prompt(const gguf::Metadata& metadata) {
  PromptReport report;
  try {
    report.tokenizer = load_tokenizer(metadata);
  } catch (const Error& e) {
    report.tokenizer_problem = e.what();
  }
  try {
    ChatTemplateTexts found = load_chat_templates(metadata);
    report.template_names = std::move(found.names);
    if (found.texts.empty()) return report;
    chat::TemplateSource source;
    if (report.tokenizer) source = chat::template_source(*report.tokenizer);
    source.texts = std::move(found.texts);
    source.names = report.template_names;
    report.templates = chat::ChatTemplate::compile(source);
  } catch (const Error& e) {
    report.template_problem = e.what();
  }
  return report;
}

std::string prompt_text(const PromptReport& report) {
  std::string out = "\nTokenizer\n";
  out += report.tokenizer ? tokenizer_text(*report.tokenizer)
                          : fmt::format("  {}\n", terminal_safe(report.tokenizer_problem));
  out += "\nChat template\n";
  if (!report.template_problem.empty())
    return out + fmt::format("  {}\n", terminal_safe(report.template_problem));
  if (!report.templates) return out + "  none: ChatML is used\n";
  std::vector<const char*> able;
  for (const Ability& a : kAbilities)
    if (a.name != nullptr && report.templates->caps().*a.member) able.push_back(a.name);
  out += fmt::format("  knows {}\n",
                     able.empty() ? "plain messages alone" : fmt::format("{}", fmt::join(able, ", ")));
  for (size_t i = 1; i < report.template_names.size(); ++i)
    out += fmt::format("  another one: {}\n", gguf::escape_text(report.template_names[i]));
  return out;
}

OrderedJson tokenizer_json(const PromptReport& report) {
  if (!report.tokenizer) return {{"problem", report.tokenizer_problem}};
  const Tokenizer& t = *report.tokenizer;
  const SpecialTokens& special = t.special();
  OrderedJson ends = OrderedJson::array();
  for (const TokenId id : t.end_of_generation()) ends.push_back(token_json(t, id));
  return {{"model", t.model()},
          {"pre", t.pre()},
          {"n_tokens", t.size()},
          {"n_special", count_special(t)},
          {"bos", token_json(t, special.bos)},
          {"eos", token_json(t, special.eos)},
          {"eot", token_json(t, special.eot)},
          {"pad", token_json(t, special.pad)},
          {"add_bos", special.add_bos},
          {"add_eos", special.add_eos},
          {"end_of_generation", std::move(ends)},
          {"fim_prefix", token_json(t, special.fim_prefix)},
          {"fim_suffix", token_json(t, special.fim_suffix)},
          {"fim_middle", token_json(t, special.fim_middle)}};
}

OrderedJson chat_template_json(const PromptReport& report) {
  if (!report.template_problem.empty()) return {{"problem", report.template_problem}};
  if (!report.templates) return nullptr;
  OrderedJson out = {{"names", report.template_names}, {"size_bytes", report.templates->text().size()}};
  for (const Ability& a : kAbilities) out[a.key] = report.templates->caps().*a.member;
  return out;
}

}  // namespace moraine::app
