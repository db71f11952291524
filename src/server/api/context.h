// What every endpoint works with: the options, the log, the model being served, and one exchange.
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "server/api/api.h"
#include "server/api/json.h"
#include "server/api/log.h"
#include "server/api/sampling_fields.h"
#include "server/http/http.h"

namespace moraine::server {

// A conversation as a template wants it: JSON texts, already brought into the shapes templates know.
struct ChatInput {
  std::string messages;   // an array
  std::string tools;      // an array; "": none
  std::string variables;  // an object: further values the template sees
  bool add_generation_prompt = true;
};
// The text of the prompt. Throws Error{kInvalidArgument} with the template's own words.
using ChatRenderer = std::function<std::string(const ChatInput&)>;

// A model from set_ready() on: immutable, shared by the exchanges that use it.
struct ServedModel {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<const Tokenizer> tokenizer;  // the engine's; keeps it alive
  std::string id;                              // the alias, or the file's name
  int64_t created = 0;                         // seconds of Unix time
  SamplingChoice sampling;                     // the defaults, with their sources
  std::string chat_template;                   // its Jinja text; "": the file has none
  ChatRenderer render_chat;                    // never empty; throws where there is no working template
};

struct Call {
  std::shared_ptr<http::Exchange> exchange;
  std::shared_ptr<const ServedModel> model;
  std::shared_ptr<const ApiOptions> options;
  std::shared_ptr<Log> log;

  const http::Request& request() const { return exchange->request(); }
};

void reply_json(http::Exchange& exchange, const Json& body);

}  // namespace moraine::server
