// A conversation with a loaded model: messages, the chat template, and one answer after another.
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/template.h"
#include "generation.h"
#include "server/api/answer_form.h"
#include "settings.h"

namespace moraine::app {

class ChatSession {
 public:
  // Throws Error where the template does not compile.
  ChatSession(std::shared_ptr<Engine> engine, const Settings& settings);

  // What to know about the chat template, such as that the file has none; empty: nothing.
  const std::string& note() const noexcept { return template_->note(); }

  // Adds the user's message, generates the answer, hands its text to `on_text` as it comes, and keeps it.
  // What a signal cut off is kept as far as it came; after an Error the question is taken back.
  Outcome ask(std::string_view question, Signals& signals,
              const std::function<void(std::string_view)>& on_text);

  void clear();  // all but the system prompt

 private:
  struct Message {
    const char* role;
    std::string content;
  };
  std::string messages_json() const;
  chat::AnswerConstraint bind() const;

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const chat::ChatTemplate> template_;
  SamplingParams sampling_;
  bool random_seed_;
  int32_t max_tokens_;
  server::AnswerForm form_;                               // what answers are held to
  std::unique_ptr<chat::AnswerConstraints> constraints_;  // null: nothing
  std::string variables_;
  std::string system_prompt_;
  std::vector<Message> messages_;
};

}  // namespace moraine::app
