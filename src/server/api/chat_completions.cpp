// POST /v1/chat/completions (and /chat/completions): OpenAI's chat, with llama-server's additions
// (timings, prompt_progress). Messages to prompt is chat_prompt.h; how text is cut is answer.h.
#include <nlohmann/json.hpp>
#include <utility>

#include "chat/output_parser.h"
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

class ChatProtocol final : public Protocol {
 public:
  ChatProtocol(const Call& call, ChatOptions options)
      : tokenizer_(call.model->tokenizer),
        options_(std::move(options)),
        fingerprint_(call.options->build_info),
        id_(new_id("chatcmpl-")),
        created_(unix_seconds()),
        parsers_(static_cast<std::size_t>(options_.n)) {}

  std::string head() override {
    std::string events;
    for (std::size_t i = 0; i < parsers_.size(); ++i) {
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
    const chat::MessageDelta delta = parsers_[choice.index].push(piece.text);
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
    const chat::MessageDelta rest = parsers_[choice.index].finish();
    if (!rest.empty()) events += sse(chunk(choice.index, delta_json(rest)));
    Json event = chunk(choice.index, Json::object());
    event["choices"][0]["finish_reason"] = finish_reason(choice);
    if (!options_.include_usage) event["timings"] = timings_json({&choice, 1});
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
      chat::OutputParser& parser = parsers_[choice.index];
      chat::MessageDelta message = parser.push(choice.text);
      const chat::MessageDelta rest = parser.finish();
      Json item = {
          {"index", choice.index},
          {"message",
           {{"role", "assistant"}, {"content", message.content + rest.content}, {"refusal", nullptr}}},
          {"logprobs", nullptr},
          {"finish_reason", finish_reason(choice)}};
      const std::string reasoning = message.reasoning + rest.reasoning;
      if (!reasoning.empty()) item["message"]["reasoning_content"] = reasoning;
      if (options_.logprobs) item["logprobs"] = chat_logprobs_json(choice.tokens, *tokenizer_);
      list.push_back(std::move(item));
    }
    Json body = base("chat.completion");
    body["choices"] = std::move(list);
    body["usage"] = usage_json(choices, options_.n);
    body["timings"] = timings_json(choices);
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
  // By choice. What a model's family writes beside content (calls, reasoning) will choose the parser.
  std::vector<chat::PlainTextParser> parsers_;
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
  const std::string prompt = render_chat_prompt(call, body);
  add_prompt(call, plan, call.model->tokenizer->encode(prompt, {.add_special = true, .parse_special = true}));
  Answer::start(call, std::move(plan.plan), std::make_unique<ChatProtocol>(call, std::move(options)));
}

}  // namespace moraine::server
