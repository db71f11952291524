// What binds the answer to a chat request: its tools, or a form of the whole answer. From a format and the
// request's schemas to a grammar and where in the answer it rules; the grammars of calls are
// formats/call_grammar.h, masks and tokens src/constraint.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "chat/output_format.h"
#include "constraint/token_constraint.h"

namespace moraine::chat {

struct AnswerConstraint {
  std::shared_ptr<constraint::Service> service;
  std::shared_ptr<constraint::Source> source;  // null: the answer is free
  constraint::Scope scope;

  // For one choice; null where nothing is bound.
  std::unique_ptr<TokenConstraint> start() const;
  // Sentences about what is not enforced, as far as known.
  std::vector<std::string> warnings() const {
    return source ? source->warnings() : std::vector<std::string>();
  }
};

struct ToolConstraintOptions {
  bool required = false;  // the answer is one call or more, from its beginning on
  std::string only;       // the one tool that may be called; empty: any
  bool single = false;    // no second call
  ReasoningStart reasoning = ReasoningStart::kClosed;
};

// Calls to the tools of a request, in the format of its model. Unless a call is required nothing is bound
// before the model opens one, and the grammar is compiled in the background. A schema that cannot be used
// relaxes its tool alone; the log and warnings() say so. Throws Error{kInvalidArgument} where `only` is no
// tool, or a required call cannot be bound.
AnswerConstraint constrain_calls(std::shared_ptr<constraint::Service> service, const OutputFormat& format,
                                 std::string_view tools_json, const ToolConstraintOptions& options);

// The whole answer. `start`: Lark behind "start:", or a whole grammar with a rule `start`. Throws
// Error{kInvalidArgument} where it cannot be used.
AnswerConstraint constrain_answer(std::shared_ptr<constraint::Service> service, const OutputFormat& format,
                                  std::string_view lark, ReasoningStart reasoning);

}  // namespace moraine::chat
