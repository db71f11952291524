// POST /v1/chat/completions (and /chat/completions): OpenAI's chat, with llama-server's additions
// (timings, prompt_progress). Messages to prompt is chat_prompt.h; how text is cut is answer.h; what of it is
// content, reasoning or a call is chat/output_parser.h.
#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/chat_prompt.h"
#include "server/api/endpoints.h"
#include "server/api/errors.h"
#include "server/api/render.h"
#include "server/api/request_plan.h"

namespace moraine::server {
namespace {

constexpr int64_t kMaxTopLogprobs = 20;

struct ChatOptions {
  std::string model;  // echoed as the client named it
  bool logprobs = false;
  bool include_usage = false;
  bool return_progress = false;
  bool timings_per_token = false;
  int32_t n = 1;
};

Json delta_json(const chat::MessageDelta& delta) {
  Json json = Json::object();
  if (!delta.reasoning.empty()) json["reasoning_content"] = delta.reasoning;
  if (!delta.content.empty()) json["content"] = delta.content;
  for (const chat::ToolCallDelta& call : delta.tool_calls) {
    Json function = Json::object();
    if (!call.name.empty()) function["name"] = call.name;
    function["arguments"] = call.arguments;
    Json item = {{"index", call.index}};
    if (!call.id.empty()) {
      item["id"] = call.id;
      item["type"] = "function";
    }
    item["function"] = std::move(function);
    json["tool_calls"].push_back(std::move(item));
  }
  return json;
}

Json message_json(const chat::ParsedMessage& message) {
  Json json = {{"role", "assistant"}, {"content", message.content}, {"refusal", nullptr}};
  if (!message.reasoning.empty()) json["reasoning_content"] = message.reasoning;
  if (message.tool_calls.empty()) return json;
  if (message.content.empty()) json["content"] = nullptr;  // as OpenAI has it
  for (const chat::ToolCall& call : message.tool_calls) {
    json["tool_calls"].push_back({{"id", call.id},
                                  {"type", "function"},
                                  {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return json;
}

// A call that the limit or a stop string cut is none: the reason stays that of the cut.
const char* chat_finish_reason(const Choice& choice, bool called) {
  return called && choice.stop == StopKind::kEos ? "tool_calls" : finish_reason(choice);
}

class ChatProtocol final : public Protocol {
 public:
  ChatProtocol(const Call& call, ChatOptions options, const ChatPrompt& prompt)
      : tokenizer_(call.model->tokenizer),
        options_(std::move(options)),
        fingerprint_(call.options->build_info),
        id_(new_id("chatcmpl-")),
        created_(unix_seconds()),
        tracks_(static_cast<std::size_t>(options_.n)) {
    for (uint32_t i = 0; i < tracks_.size(); ++i) tracks_[i].parser = prompt.make_parser(i);
  }

  std::string head() override {
    std::string events;
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
      events += sse(chunk(static_cast<uint32_t>(i), {{"role", "assistant"}, {"content", ""}}));
    }
    return events;
  }

  std::string progress(const Choice& choice, int32_t processed, int32_t total, double ms) override {
    if (!options_.return_progress) return "";
    Json event = chunk(choice.index, Json::object());
    event["prompt_progress"] = {
        {"total", total}, {"cache", choice.stats.n_cached}, {"processed", processed}, {"time_ms", ms}};
    return sse(event);
  }

  std::string delta(const Choice& choice, const Piece& piece) override {
    Track& track = tracks_[choice.index];
    const chat::MessageDelta delta = track.parser->push(piece.text);
    track.called |= !delta.tool_calls.empty();
    if (delta.empty() && piece.tokens.empty()) return "";
    Json event = chunk(choice.index, delta_json(delta));
    if (options_.logprobs) {
      event["choices"][0]["logprobs"] = chat_logprobs_json(piece.tokens, *tokenizer_);
    }
    if (options_.timings_per_token) event["timings"] = timings_json({&choice, 1});
    return sse(event);
  }

  std::string finish(const Choice& choice) override {
    std::string events;
    Track& track = tracks_[choice.index];
    const chat::MessageDelta rest = track.parser->finish(text_end(choice));
    track.called |= !rest.tool_calls.empty();
    if (!rest.empty()) events += sse(chunk(choice.index, delta_json(rest)));
    Json event = chunk(choice.index, Json::object());
    event["choices"][0]["finish_reason"] = chat_finish_reason(choice, track.called);
    if (!options_.include_usage) event["timings"] = timings_json({&choice, 1});
    if (!choice.warnings.empty()) event["warnings"] = choice.warnings;
    return events + sse(event);
  }

  std::string tail(std::span<const Choice> choices) override {
    std::string events;
    if (options_.include_usage) {
      Json event = base("chat.completion.chunk");
      event["choices"] = Json::array();
      event["usage"] = usage_json(choices, options_.n);
      event["timings"] = timings_json(choices);
      events = sse(event);
    }
    return events + "data: [DONE]\n\n";
  }

  std::string whole(std::span<const Choice> choices) override {
    Json list = Json::array();
    for (const Choice& choice : choices) {
      const chat::ParsedMessage message =
          chat::parse_message(*tracks_[choice.index].parser, choice.text, text_end(choice));
      Json item = {{"index", choice.index},
                   {"message", message_json(message)},
                   {"logprobs", nullptr},
                   {"finish_reason", chat_finish_reason(choice, !message.tool_calls.empty())}};
      if (options_.logprobs) item["logprobs"] = chat_logprobs_json(choice.tokens, *tokenizer_);
      list.push_back(std::move(item));
    }
    Json body = base("chat.completion");
    body["choices"] = std::move(list);
    body["usage"] = usage_json(choices, options_.n);
    body["timings"] = timings_json(choices);
    if (!choices.empty() && !choices[0].warnings.empty()) body["warnings"] = choices[0].warnings;
    return dump(body);
  }

 private:
  Json base(const char* object) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", options_.model},
            {"system_fingerprint", fingerprint_}};
  }
  Json chunk(uint32_t index, Json delta) const {
    Json event = base("chat.completion.chunk");
    Json choice = {
        {"index", index}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    event["choices"] = Json::array({std::move(choice)});
    // OpenAI: null in all chunks but the last, where usage was asked for.
    if (options_.include_usage) event["usage"] = nullptr;
    return event;
  }

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const ChatOptions options_;
  const std::string fingerprint_;
  const std::string id_;
  const int64_t created_;
  struct Track {
    std::unique_ptr<chat::OutputParser> parser;
    bool called = false;  // a tool call was begun
  };
  std::vector<Track> tracks_;  // by choice
};

}  // namespace

void chat_completions(const Call& call) {
  const Json json = parse_json(call.request().body);
  const Fields body(json);
  ChatOptions options;
  options.model = body.string("model").value_or(call.model->id);
  options.logprobs = body.boolean("logprobs").value_or(false);
  options.return_progress = body.boolean("return_progress").value_or(false);
  options.timings_per_token = body.boolean("timings_per_token").value_or(false);
  if (const auto stream = body.child("stream_options")) {
    options.include_usage = stream->boolean("include_usage").value_or(false);
  }
  const auto top = body.integer("top_logprobs", 0, kMaxTopLogprobs);
  if (top && !options.logprobs)
    throw bad_request("top_logprobs", "'top_logprobs' needs 'logprobs' to be true.");
  const int32_t n_probs = options.logprobs ? static_cast<int32_t>(top.value_or(0)) : -1;

  RequestPlan plan = request_plan(call, body, {.n_probs = n_probs});
  options.n = plan.n;
  ChatPrompt prompt = chat_prompt(call, body);
  add_chat_prompt(call, plan, prompt);
  Answer::start(call, std::move(plan.plan), std::make_unique<ChatProtocol>(call, std::move(options), prompt));
}

}  // namespace moraine::server
