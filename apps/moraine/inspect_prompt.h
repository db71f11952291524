// The part of `moraine inspect` on how text becomes a prompt: the file's tokenizer and chat template, and
// what is wrong with them where they cannot be used. The rest of the report is inspect.cpp.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "chat/template.h"
#include "gguf/metadata.h"

namespace moraine::app {

struct PromptReport {
  std::shared_ptr<const Tokenizer> tokenizer;  // null: see tokenizer_problem
  std::string tokenizer_problem;
  std::vector<std::string> template_names;              // [0]: the default one; empty: the file has none
  std::shared_ptr<const chat::ChatTemplate> templates;  // null where there is none, or it does not compile
  std::string template_problem;
};

PromptReport report_prompt(const gguf::Metadata& metadata);

std::string prompt_text(const PromptReport& report);
nlohmann::ordered_json tokenizer_json(const PromptReport& report);      // docs/cli.md has the fields
nlohmann::ordered_json chat_template_json(const PromptReport& report);  // null where the file has none

}  // namespace moraine::app
