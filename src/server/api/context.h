// What every endpoint works with: the options, the log, the model being served, and one exchange.
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "chat/template.h"
#include "server/api/api.h"
#include "server/api/json.h"
#include "server/api/log.h"
#include "server/api/sampling_fields.h"
#include "server/http/http.h"

namespace moraine::chat {
class AnswerConstraints;
}

namespace moraine::server {

class ResponseStore;
class TurnStore;

// A model from set_ready() on: immutable, shared by the exchanges that use it.
struct ServedModel {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<const Tokenizer> tokenizer;               // the engine's; keeps it alive
  std::string id;                                           // the alias, or the file's name
  int64_t created = 0;                                      // seconds of Unix time
  SamplingChoice sampling;                                  // the defaults, with their sources
  std::shared_ptr<const chat::ChatTemplate> chat_template;  // null: the file's does not compile,
  std::string chat_template_error;                          // and why
  std::shared_ptr<TurnStore> turns;                         // what it generated lately
  std::shared_ptr<chat::AnswerConstraints> constraints;     // what its answers can be bound to
};

struct Call {
  std::shared_ptr<http::Exchange> exchange;
  std::shared_ptr<const ServedModel> model;
  std::shared_ptr<const ApiOptions> options;
  std::shared_ptr<Log> log;
  std::shared_ptr<ResponseStore> responses;
  // Runs work that may take seconds on a thread where only such work waits. Errors it throws are answered as
  // the endpoint's own; where the client leaves first, it is dropped.
  std::function<void(std::function<void()>)> later;

  const http::Request& request() const { return exchange->request(); }
};

void reply_json(http::Exchange& exchange, const Json& body);

}  // namespace moraine::server
