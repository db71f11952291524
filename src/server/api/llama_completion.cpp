// POST /completion and /completions: llama-server's own text completion. Flat answers without OpenAI's
// `choices`, no [DONE]; token ids in and out, `n_probs`, the settings that were used, timings.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/answer_form.h"
#include "server/api/endpoints.h"
#include "server/api/errors.h"
#include "server/api/render.h"
#include "server/api/request_plan.h"

namespace moraine::server {
namespace {

constexpr int64_t kMaxProbs = 1000;

struct LlamaOptions {
  std::string model;
  int32_t n_probs = 0;
  bool return_tokens = false;
  bool return_progress = false;
  bool timings_per_token = false;
  Json settings;                     // generation_settings of the answer
  std::vector<std::string> prompts;  // by choice
};

const char* stop_type(StopKind kind) {
  switch (kind) {
    case StopKind::kNone:
      return "none";
    case StopKind::kEos:
      return "eos";
    case StopKind::kWord:
      return "word";
    case StopKind::kLength:
      return "limit";
  }
  return "none";
}

class LlamaProtocol final : public Protocol {
 public:
  LlamaProtocol(const Call& call, LlamaOptions options)
      : tokenizer_(call.model->tokenizer), options_(std::move(options)) {}

  // A first event before the work; clients of llama-server add up `content`.
  std::string head() override { return sse(part(Choice{}, Piece{})); }

  std::string progress(const Choice& choice, int32_t processed, int32_t total, double ms) override {
    if (!options_.return_progress) return "";
    Json event = part(choice, Piece{});
    event["prompt_progress"] = {
        {"total", total}, {"cache", choice.stats.n_cached}, {"processed", processed}, {"time_ms", ms}};
    return sse(event);
  }

  std::string delta(const Choice& choice, const Piece& piece) override {
    Json event = part(choice, piece);
    if (options_.n_probs > 0) event["completion_probabilities"] = probs(piece.tokens);
    if (options_.timings_per_token) event["timings"] = timings_json({&choice, 1});
    return sse(event);
  }

  std::string finish(const Choice& choice) override { return sse(final(choice, true)); }

  std::string whole(std::span<const Choice> choices) override {
    if (choices.size() == 1) return dump(final(choices[0], false));
    Json list = Json::array();
    for (const Choice& choice : choices) list.push_back(final(choice, false));
    return dump(list);
  }

 private:
  Json probs(std::span<const TokenEvent> events) const {
    Json list = Json::array();
    for (const TokenEvent& event : events) list.push_back(token_logprob_json(event, *tokenizer_));
    return list;
  }
  Json ids(std::span<const TokenEvent> events) const {
    Json list = Json::array();
    if (!options_.return_tokens) return list;
    for (const TokenEvent& event : events) list.push_back(event.id);
    return list;
  }
  Json part(const Choice& choice, const Piece& piece) const {
    return {{"index", choice.index},
            {"content", piece.text},
            {"tokens", ids(piece.tokens)},
            {"stop", false},
            {"id_slot", -1},
            {"tokens_predicted", choice.n_generated},
            {"tokens_evaluated", choice.n_prompt}};
  }
  Json final(const Choice& choice, bool streamed) const {
    Json json = {{"index", choice.index},
                 {"content", streamed ? "" : choice.text},
                 {"tokens", streamed ? Json::array() : ids(choice.tokens)},
                 {"id_slot", -1},
                 {"stop", true},
                 {"model", options_.model},
                 {"tokens_predicted", choice.n_generated},
                 {"tokens_evaluated", choice.n_prompt},
                 {"generation_settings", options_.settings},
                 {"prompt", options_.prompts[choice.index]},
                 {"has_new_line", choice.text.find('\n') != std::string::npos},
                 {"truncated", false},
                 {"stop_type", stop_type(choice.stop)},
                 {"stopping_word", choice.stop_word},
                 {"tokens_cached", choice.stats.n_cached},
                 {"timings", timings_json({&choice, 1})}};
    if (options_.n_probs > 0 && !streamed) json["completion_probabilities"] = probs(choice.tokens);
    return json;
  }

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const LlamaOptions options_;
};

}  // namespace

void completion(const Call& call) {
  const Json json = parse_json(call.request().body);
  const Fields body(json);
  LlamaOptions options;
  options.model = call.model->id;
  options.n_probs = static_cast<int32_t>(body.integer("n_probs", 0, kMaxProbs).value_or(0));
  options.return_tokens = body.boolean("return_tokens").value_or(false);
  options.return_progress = body.boolean("return_progress").value_or(false);
  options.timings_per_token = body.boolean("timings_per_token").value_or(false);

  RequestPlan plan = request_plan(
      call, body,
      {.n_probs = options.n_probs > 0 ? options.n_probs : -1, .keep_tokens = options.return_tokens});
  const AnswerForm form = answer_form(call, body);
  plan.plan.form = std::make_shared<const AnswerForm>(form);
  for (std::vector<TokenId>& prompt : prompts_from(call, body, "prompt")) {
    const std::string text = call.model->tokenizer->decode(prompt, {.show_control = true});
    add_prompt(call, plan, std::move(prompt));
    options.prompts.resize(plan.plan.generations.size(), text);
  }
  Json settings = params_json(plan.sampling);
  settings["n_predict"] = plan.base.max_tokens;
  settings["n_probs"] = options.n_probs;
  settings["grammar"] = form.kind == AnswerForm::Kind::kGbnf ? form.text : "";
  settings["stop"] = plan.plan.stops;
  settings["stream"] = plan.plan.stream;
  settings["sources"] = sources_json(plan.sampling);
  options.settings = std::move(settings);
  Answer::start(call, std::move(plan.plan), std::make_unique<LlamaProtocol>(call, std::move(options)));
}

}  // namespace moraine::server
