// POST /v1/completions: OpenAI's legacy text completion, which fill-in and evaluation tools still use.
// llama-server's own /completion is llama_completion.cpp.
#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/answer_form.h"
#include "server/api/endpoints.h"
#include "server/api/errors.h"
#include "server/api/render.h"
#include "server/api/request_plan.h"

namespace moraine::server {
namespace {

constexpr int64_t kMaxLogprobs = 20;

struct CompletionOptions {
  std::string model;
  int32_t logprobs = -1;  // how many beside the drawn token; < 0: none
  bool include_usage = false;
  bool return_progress = false;
  bool timings_per_token = false;
  int32_t n = 1;
  std::vector<std::string> echoes;  // by prompt: its text, where `echo` asks for it
};

class CompletionProtocol final : public Protocol {
 public:
  CompletionProtocol(const Call& call, CompletionOptions options)
      : tokenizer_(call.model->tokenizer),
        options_(std::move(options)),
        fingerprint_(call.options->build_info),
        id_(new_id("cmpl-")),
        created_(unix_seconds()) {}

  // An event before the work starts: for the prompt's echo, or an empty text.
  std::string head() override {
    if (options_.echoes.empty()) return sse(chunk(0, ""));
    std::string events;
    for (uint32_t i = 0; i < options_.echoes.size() * static_cast<uint32_t>(options_.n); ++i) {
      events += sse(chunk(i, echo(i)));
    }
    return events;
  }

  std::string progress(const Choice& choice, int32_t processed, int32_t total, double ms) override {
    if (!options_.return_progress) return "";
    Json event = chunk(choice.index, "");
    event["prompt_progress"] = {
        {"total", total}, {"cache", choice.stats.n_cached}, {"processed", processed}, {"time_ms", ms}};
    return sse(event);
  }

  std::string delta(const Choice& choice, const Piece& piece) override {
    Json event = chunk(choice.index, piece.text);
    if (options_.logprobs >= 0) {
      // text_offset goes on from chunk to chunk.
      if (offsets_.size() <= choice.index) offsets_.resize(choice.index + 1, 0);
      event["choices"][0]["logprobs"] = logprobs_json(piece.tokens, offsets_[choice.index]);
    }
    if (options_.timings_per_token) event["timings"] = timings_json({&choice, 1});
    return sse(event);
  }

  std::string finish(const Choice& choice) override {
    Json event = chunk(choice.index, "");
    event["choices"][0]["finish_reason"] = finish_reason(choice);
    if (!options_.include_usage) event["timings"] = timings_json({&choice, 1});
    return sse(event);
  }

  std::string tail(std::span<const Choice> choices) override {
    std::string events;
    if (options_.include_usage) {
      Json event = base();
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
      Json item = {{"text", echo(choice.index) + choice.text},
                   {"index", choice.index},
                   {"logprobs", nullptr},
                   {"finish_reason", finish_reason(choice)}};
      std::size_t offset = echo(choice.index).size();
      if (options_.logprobs >= 0) item["logprobs"] = logprobs_json(choice.tokens, offset);
      list.push_back(std::move(item));
    }
    Json body = base();
    body["choices"] = std::move(list);
    body["usage"] = usage_json(choices, options_.n);
    body["timings"] = timings_json(choices);
    return dump(body);
  }

 private:
  Json base() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", options_.model},
            {"system_fingerprint", fingerprint_}};
  }
  Json chunk(uint32_t index, const std::string& text) const {
    Json event = base();
    Json choice = {{"text", text}, {"index", index}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    event["choices"] = Json::array({std::move(choice)});
    if (options_.include_usage) event["usage"] = nullptr;
    return event;
  }
  std::string echo(uint32_t index) const {
    const std::size_t prompt = index / static_cast<uint32_t>(options_.n);
    return prompt < options_.echoes.size() ? options_.echoes[prompt] : "";
  }
  std::string text_of(TokenId id) const {
    return tokenizer_->contains(id) ? std::string(tokenizer_->token_bytes(id)) : "";
  }
  // The legacy shape: parallel arrays. `offset` (bytes of text so far) moves on.
  Json logprobs_json(std::span<const TokenEvent> events, std::size_t& offset) const {
    Json tokens = Json::array(), values = Json::array(), tops = Json::array(), offsets = Json::array();
    for (const TokenEvent& event : events) {
      const std::string text = text_of(event.id);
      tokens.push_back(text);
      values.push_back(shown_logprob(event.logprob));
      offsets.push_back(offset);
      offset += text.size();
      Json top = Json::object();
      for (const TokenProb& p : event.top) top[text_of(p.id)] = shown_logprob(p.logprob);
      tops.push_back(options_.logprobs > 0 ? std::move(top) : Json(nullptr));
    }
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(values)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const CompletionOptions options_;
  const std::string fingerprint_;
  const std::string id_;
  const int64_t created_;
  std::vector<std::size_t> offsets_;  // by choice
};

}  // namespace

void completions(const Call& call) {
  const Json json = parse_json(call.request().body);
  const Fields body(json);
  CompletionOptions options;
  options.model = body.string("model").value_or(call.model->id);
  // OpenAI's is a count, but clients also send chat's `true`.
  const Json* logprobs = body.find("logprobs");
  if (logprobs != nullptr && logprobs->is_boolean()) {
    options.logprobs = logprobs->get<bool>() ? 0 : -1;
  } else {
    options.logprobs = static_cast<int32_t>(body.integer("logprobs", 0, kMaxLogprobs).value_or(-1));
  }
  options.return_progress = body.boolean("return_progress").value_or(false);
  options.timings_per_token = body.boolean("timings_per_token").value_or(false);
  if (const auto stream = body.child("stream_options")) {
    options.include_usage = stream->boolean("include_usage").value_or(false);
  }
  if (body.string("suffix").value_or("") != "") {
    throw unsupported_field("suffix",
                            "'suffix' asks for fill-in-the-middle, which is not available in this version "
                            "of moraine.");
  }
  RequestPlan plan = request_plan(call, body, {.n_probs = options.logprobs});
  plan.plan.form = std::make_shared<const AnswerForm>(answer_form(call, body));
  if (const auto best = body.integer("best_of", 1, call.options->max_choices); best && *best > plan.n) {
    throw unsupported_field("best_of",
                            "'best_of' above 'n' is not available; ask for 'n' choices and choose.");
  }
  options.n = plan.n;
  const bool echo = body.boolean("echo").value_or(false);
  // Evaluation tools take scores of the prompt from this; an answer without them would read as theirs.
  if (echo && options.logprobs >= 0) {
    throw unsupported_field("echo",
                            "'echo' with 'logprobs' asks for log probabilities of the prompt, which "
                            "are not available in this version of moraine; leave one of them out.");
  }
  for (std::vector<TokenId>& prompt : prompts_from(call, body, "prompt")) {
    if (echo) options.echoes.push_back(call.model->tokenizer->decode(prompt));
    add_prompt(call, plan, std::move(prompt));
  }
  Answer::start(call, std::move(plan.plan), std::make_unique<CompletionProtocol>(call, std::move(options)));
}

}  // namespace moraine::server
