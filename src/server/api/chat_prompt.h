// From a chat request's messages and tools to a prompt, and to the parser of what the model answers: every
// shape that real clients send is brought into the one that templates know. All protocols share this path:
// each brings its own body into the shape of /v1/chat/completions. What templates do with it is src/chat.
#pragma once

#include <moraine/tokenizer.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chat/output_format.h"
#include "server/api/answer_form.h"
#include "server/api/context.h"
#include "server/api/fields.h"
#include "server/api/request_plan.h"
#include "server/api/turn_store.h"

namespace moraine::server {

struct ChatPrompt {
  std::string text;                   // as the template renders it, special tokens spelled out
  std::vector<TokenId> tokens;        // the same, encoded; turns of ours as they were generated: history.h
  std::vector<TokenId> shown_tokens;  // control tokens the parser must see: Plan::shown_tokens

  chat::OutputFormat format;
  std::shared_ptr<const chat::ToolTypes> tools;  // null: none are offered
  chat::ParserOptions parser_options;            // but for id_seed

  AnswerForm form;   // what the request demands of the answer
  TurnPlace place;   // where the answer will stand
  std::string note;  // for the log; empty where history stands as it was generated

  // A parser for one choice of the answer. Calls of different choices have different ids.
  std::unique_ptr<chat::OutputParser> make_parser(uint32_t choice) const;
};

// Of `body` it reads: messages, tools, tool_choice, parallel_tool_calls, response_format, json_schema,
// grammar, reasoning_format, reasoning_effort, chat_template_kwargs, add_generation_prompt. Throws ApiError
// 400 naming the message and field at fault; 501 where the model has no template.
ChatPrompt chat_prompt(const Call& call, const Fields& body);

// Adds the prompt's generations to the plan. Takes its tokens and form.
void add_chat_prompt(const Call& call, RequestPlan& plan, ChatPrompt& prompt);

}  // namespace moraine::server
