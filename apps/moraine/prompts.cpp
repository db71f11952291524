#include "prompts.h"

#include <moraine/tokenizer.h>

#include <nlohmann/json.hpp>

#include "chat/template.h"

namespace moraine::app {

std::vector<TokenId> task_prompt(const Engine& engine, const SpeculationTask& task) {
  using OrderedJson = nlohmann::ordered_json;
  const ModelInfo& info = engine.info();
  const auto tokenizer = engine.tokenizer();
  chat::TemplateSource source = chat::template_source(*tokenizer);
  source.texts = info.chat_templates;
  source.names = info.chat_template_names;
  const OrderedJson messages = OrderedJson::array({{{"role", "user"}, {"content", task.question}}});
  const std::string json = messages.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  std::string text = chat::ChatTemplate::compile(source)->render({.messages_json = json});
  text += task.opening;
  return tokenizer->encode(text, {.add_special = true, .parse_special = true});
}

}  // namespace moraine::app
