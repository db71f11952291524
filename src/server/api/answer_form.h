// What a request demands of the form of its answer: response_format, json_schema and grammar; tool_choice and
// parallel_tool_calls; and the schemas of its tools, which bind calls whether it demands that or not. From
// fields to what src/chat binds; which answers are held to it, and how, is chat/answer_constraint.h.
#pragma once

#include <string>
#include <vector>

#include "chat/answer_constraint.h"
#include "server/api/context.h"
#include "server/api/fields.h"

namespace moraine::server {

struct AnswerForm {
  enum class Kind : uint8_t { kFree, kSchema, kGbnf };
  Kind kind = Kind::kFree;
  std::string text;   // the schema as JSON, or the grammar
  std::string field;  // which demands it, for errors

  std::string tools_json;  // empty: none are offered
  chat::CallDemands calls;
  chat::AnswerStart start;

  bool is_free() const { return kind == Kind::kFree && tools_json.empty(); }
  // Its grammar must be there before the answer begins.
  bool is_demanded() const { return kind != Kind::kFree || calls.required; }
  // Some milliseconds where it is demanded, seconds for a hostile one; else at once. Throws ApiError 400
  // naming the field and cause where what is demanded cannot be enforced.
  chat::AnswerConstraint bind(chat::AnswerConstraints& constraints) const;
};

// Reads response_format, json_schema and grammar; what they do not say the options do. Throws ApiError 400
// for what is none of their forms, and for two of them at once.
AnswerForm answer_form(const Call& call, const Fields& body);
// What the options demand of answers. Throws Error{kInvalidArgument} for both at once.
AnswerForm standard_form(const ApiOptions& options);
// Of a chat request: reads tool_choice and parallel_tool_calls too. `tools_json`: the tools the template
// shows.
AnswerForm chat_answer_form(const Call& call, const Fields& body, const std::string& tools_json,
                            chat::AnswerStart start);

}  // namespace moraine::server
