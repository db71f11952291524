// The model's chat template, compiled once and used by every chat request. The template language itself
// is src/chat.
#pragma once

#include <moraine/tokenizer.h>

#include <string>

#include "server/api/context.h"
#include "server/api/log.h"

namespace moraine::server {

// A renderer for the Jinja text `source`. Where that is empty or does not compile, a renderer that
// throws Error saying so: such a model still serves completions. The second case is logged, too.
ChatRenderer make_chat_renderer(const std::string& source, const Tokenizer& tokenizer, Log& log);

}  // namespace moraine::server
