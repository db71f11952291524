#include "server/api/messages_protocol.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/render.h"

namespace moraine::server {
namespace {

// What Anthropic signs, so that its servers know their own thoughts again; clients send it back unread.
// Nobody checks ours.
constexpr const char* kSignature = "moraine";

Json usage_json(int32_t n_prompt, int32_t n_cached, int32_t n_generated) {
  return {{"input_tokens", n_prompt - n_cached},  // the three kinds of input add up to the prompt
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", n_cached},
          {"output_tokens", n_generated}};
}

Json usage_of(const Choice& choice) {
  return usage_json(choice.n_prompt, choice.stats.n_cached, choice.n_generated);
}

const char* stop_reason(const Choice& choice, bool called) {
  switch (choice.stop) {
    case StopKind::kLength:
      return "max_tokens";
    case StopKind::kWord:
      return "stop_sequence";
    case StopKind::kNone:
    case StopKind::kEos:
      break;
  }
  return called ? "tool_use" : "end_turn";
}

Json stop_sequence(const Choice& choice) {
  return choice.stop == StopKind::kWord ? Json(choice.stop_word) : Json(nullptr);
}

class MessagesProtocol final : public Protocol {
 public:
  MessagesProtocol(std::string model, int32_t n_prompt, std::unique_ptr<chat::OutputParser> parser)
      : id_(new_id("msg_")), model_(std::move(model)), n_prompt_(n_prompt), parser_(std::move(parser)) {}

  std::string head() override {
    // What was cached is not known yet; message_delta has the final counts.
    const Json start = {{"type", "message_start"}, {"message", message(usage_json(n_prompt_, 0, 0))}};
    return named_sse(start) + keep_alive();
  }

  std::string delta(const Choice&, const Piece& piece) override {
    std::string events;
    write(events, parser_->push(piece.text));
    return events;
  }

  std::string finish(const Choice& choice) override {
    std::string events;
    write(events, parser_->finish(text_end(choice)));
    close(events);
    events += named_sse(
        {{"type", "message_delta"},
         {"delta", {{"stop_reason", stop_reason(choice, called_)}, {"stop_sequence", stop_sequence(choice)}}},
         {"usage", usage_of(choice)}});
    return events + named_sse({{"type", "message_stop"}});
  }

  std::string whole(std::span<const Choice> choices) override {
    const Choice& choice = choices[0];
    const chat::ParsedMessage parsed = chat::parse_message(*parser_, choice.text, text_end(choice));
    Json body = message(usage_of(choice));
    Json& content = body["content"];
    if (!parsed.reasoning.empty()) {
      content.push_back({{"type", "thinking"}, {"thinking", parsed.reasoning}, {"signature", kSignature}});
    }
    if (!parsed.content.empty()) content.push_back({{"type", "text"}, {"text", parsed.content}});
    for (const chat::ToolCall& call : parsed.tool_calls) {
      Json input = Json::parse(call.arguments, nullptr, /*allow_exceptions=*/false);
      if (!input.is_object()) input = Json::object();
      content.push_back(
          {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", std::move(input)}});
    }
    body["stop_reason"] = stop_reason(choice, !parsed.tool_calls.empty());
    body["stop_sequence"] = stop_sequence(choice);
    return dump(body);
  }

  std::string error(const ApiError& error) override {
    return "event: error\ndata: " + error_json(error, ErrorForm::kAnthropic) + "\n\n";
  }

  std::string keep_alive() override { return named_sse({{"type", "ping"}}); }

 private:
  enum class Block : uint8_t { kNone, kThinking, kText, kToolUse };

  Json message(Json usage) const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", model_},
            {"content", Json::array()},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr},
            {"usage", std::move(usage)}};
  }

  void write(std::string& events, const chat::MessageDelta& delta) {
    if (!delta.reasoning.empty()) {
      if (block_ != Block::kThinking)
        open(events, Block::kThinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
      add(events, {{"type", "thinking_delta"}, {"thinking", delta.reasoning}});
    }
    if (!delta.content.empty()) {
      if (block_ != Block::kText) open(events, Block::kText, {{"type", "text"}, {"text", ""}});
      add(events, {{"type", "text_delta"}, {"text", delta.content}});
    }
    for (const chat::ToolCallDelta& call : delta.tool_calls) {
      if (!call.name.empty()) {
        open(events, Block::kToolUse,
             {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}});
        called_ = true;
      }
      if (!call.arguments.empty()) {
        add(events, {{"type", "input_json_delta"}, {"partial_json", call.arguments}});
      }
    }
  }

  void add(std::string& events, Json delta) {
    events += named_sse({{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
  }

  void open(std::string& events, Block block, Json start) {
    close(events);
    block_ = block;
    events +=
        named_sse({{"type", "content_block_start"}, {"index", index_}, {"content_block", std::move(start)}});
  }

  void close(std::string& events) {
    if (block_ == Block::kNone) return;
    if (block_ == Block::kThinking) add(events, {{"type", "signature_delta"}, {"signature", kSignature}});
    events += named_sse({{"type", "content_block_stop"}, {"index", index_}});
    block_ = Block::kNone;
    ++index_;
  }

  const std::string id_, model_;
  const int32_t n_prompt_;
  const std::unique_ptr<chat::OutputParser> parser_;
  Block block_ = Block::kNone;  // the one that is open
  uint32_t index_ = 0;          // its index, or the next one's
  bool called_ = false;
};

}  // namespace

std::unique_ptr<Protocol> make_messages_protocol(std::string model, int32_t n_prompt,
                                                 std::unique_ptr<chat::OutputParser> parser) {
  return std::make_unique<MessagesProtocol>(std::move(model), n_prompt, std::move(parser));
}

}  // namespace moraine::server
