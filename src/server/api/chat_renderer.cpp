#include "server/api/chat_renderer.h"

#include <memory>

namespace moraine::server {
namespace {

ChatRenderer failing(std::string why) {
  return [why = std::move(why)](const ChatInput&) -> std::string {
    throw Error(ErrorCode::kInvalidArgument, why);
  };
}

}  // namespace

ChatRenderer make_chat_renderer(const std::string& source, const Tokenizer& tokenizer, Log& log) {
  (void)tokenizer, (void)log;
  if (source.empty()) {
    return failing(
        "This model's file has no chat template; start the server with --chat-template, or use "
        "/v1/completions.");
  }
  return failing("Chat templates are not available in this build.");
}

}  // namespace moraine::server
