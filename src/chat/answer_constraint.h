// What binds the answers of a model: calls to a request's tools, or a form of the whole answer. From a format
// and the request's schemas to a grammar and where in the answer it rules; the grammars of calls are
// formats/call_grammar.h, masks and tokens src/constraint.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/output_format.h"
#include "constraint/token_constraint.h"

namespace moraine::chat {

// Of one request, for any number of choices.
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

// Where an answer begins.
struct AnswerStart {
  ReasoningStart reasoning = ReasoningStart::kClosed;
  std::string begun;  // what of it stands in the prompt
};

struct CallDemands {
  bool required = false;          // the answer is one call or more, from its beginning on
  std::vector<std::string> only;  // the tools that may be called; empty: all
  bool single = false;            // no second call
  // Lark with a first rule `start`: the answer is of this form where it is no call. Empty: any answer will
  // do.
  std::string answer;
};

// Of one model. Thread-safe.
class AnswerConstraints {
 public:
  // `log`: what is not enforced, in sentences; called on any thread.
  AnswerConstraints(std::shared_ptr<const Tokenizer> tokenizer, OutputFormat format, constraint::LogFn log);

  // Calls to the tools of a request (an array as the OpenAI API has it). Unless they demand something of the
  // beginning, nothing is bound before the model opens a call, and the grammar is compiled in the background;
  // else this takes milliseconds for usual tools, seconds at most. A schema that cannot be used relaxes its
  // tool alone; log and warnings() say so. The same tools are compiled once, whoever sends them.
  // Throws Error{kInvalidArgument} where `only` is no tool, a required call cannot be bound, or `answer`
  // cannot.
  AnswerConstraint calls(std::string_view tools_json, const CallDemands& demands, AnswerStart start);

  // The whole answer, by Lark with a first rule `start`. As long as above. Throws Error{kInvalidArgument}
  // where it cannot be used.
  AnswerConstraint answer(std::string_view lark, AnswerStart start);

  constraint::Service& service() const { return *service_; }

 private:
  // Compiled, or about to be.
  struct Calls {
    std::shared_ptr<constraint::Source> source;  // null: calls of these tools cannot be bound
    std::vector<constraint::Trigger> triggers;
  };
  Calls find_calls(std::string_view tools_json, const CallDemands& demands);
  Calls make_calls(std::string_view tools_json, const CallDemands& demands);
  constraint::Scope scope_for(AnswerStart start) const;

  const std::shared_ptr<constraint::Service> service_;
  const OutputFormat format_;
  std::mutex mutex_;                               // guards kept_
  std::list<std::pair<std::string, Calls>> kept_;  // by all that they follow from; used last first
};

}  // namespace moraine::chat
