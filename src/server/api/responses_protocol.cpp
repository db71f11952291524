#include "server/api/responses_protocol.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/auth.h"
#include "server/api/render.h"
#include "server/api/response_store.h"
#include "server/api/responses_output.h"

namespace moraine::server {
namespace {

class ResponsesProtocol final : public Protocol {
 public:
  ResponsesProtocol(const Call& call, ResponsesRequest request, const SamplingParams& sampling,
                    std::unique_ptr<chat::OutputParser> parser)
      : tokenizer_(call.model->tokenizer),
        store_(request.store ? call.responses : nullptr),
        owner_(key_scope(call.request(), call.options->api_keys)),
        conversation_(std::move(request.conversation)),
        parser_(std::move(parser)),
        output_({std::move(request.tools), request.summaries, request.encrypted_content}) {
    base_ = {{"id", new_id("resp_")},        {"object", "response"}, {"created_at", unix_seconds()},
             {"status", "in_progress"},      {"background", false},  {"error", nullptr},
             {"incomplete_details", nullptr}};
    base_.update(Json::parse(request.echo));
    base_["temperature"] = sampling.temperature;
    base_["top_p"] = sampling.top_p;
    base_["output"] = Json::array();
    base_["usage"] = nullptr;
  }

  std::string head() override {
    std::string events;
    emit(events, {{"type", "response.created"}, {"response", base_}});
    emit(events, {{"type", "response.in_progress"}, {"response", base_}});
    return events;
  }

  std::string delta(const Choice&, const Piece& piece) override {
    std::string events;
    output_.add(parser_->push(piece.text), emit_to(events));
    return events;
  }

  std::string finish(const Choice& choice) override {
    std::string events;
    end_output(choice, emit_to(events));
    Json response = final_response(choice);
    const char* type = cut(choice) ? "response.incomplete" : "response.completed";
    emit(events, {{"type", type}, {"response", std::move(response)}});
    return events;
  }

  std::string whole(std::span<const Choice> choices) override {
    const auto nowhere = [](Json) {};
    output_.add(parser_->push(choices[0].text), nowhere);
    end_output(choices[0], nowhere);
    return dump(final_response(choices[0]));
  }

  // After this a client may ask again, as it would after an answer with a 5xx status.
  std::string error(const ApiError& error) override {
    Json response = base_;
    response["status"] = "failed";
    response["output"] = output_.items();
    const bool overflow = error.code == "context_length_exceeded";
    response["error"] = {{"code", overflow ? error.code : "server_error"}, {"message", error.what()}};
    std::string events;
    emit(events, {{"type", "response.failed"}, {"response", std::move(response)}});
    return events;
  }

  // Codex starts its idle clock anew for events alone, not for comments. This one says again what the second
  // event said, number and all: it is no new one, and a client that counts finds no gap.
  std::string keep_alive() override {
    return named_sse({{"type", "response.in_progress"}, {"response", base_}, {"sequence_number", 1}});
  }

 private:
  static bool cut(const Choice& choice) { return choice.stop == StopKind::kLength; }

  void emit(std::string& events, Json event) {
    event["sequence_number"] = sequence_number_++;
    events += named_sse(event);
  }
  ResponsesOutput::Emit emit_to(std::string& events) {
    return [this, &events](Json event) { emit(events, std::move(event)); };
  }

  void end_output(const Choice& choice, const ResponsesOutput::Emit& emit) {
    output_.add(parser_->finish(text_end(choice)), emit);
    output_.finish(!cut(choice), emit);
  }

  // Settles the response object, and keeps it where it is to be stored.
  Json final_response(const Choice& choice) {
    Json response = base_;
    response["status"] = cut(choice) ? "incomplete" : "completed";
    response["completed_at"] = cut(choice) ? Json(nullptr) : Json(unix_seconds());
    if (cut(choice)) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
    response["output"] = output_.items();
    // Of the text as it would be written again; the tags around it are not counted.
    const auto reasoning = static_cast<int32_t>(
        std::min<std::size_t>(tokenizer_->encode(output_.reasoning(), {.add_special = false}).size(),
                              static_cast<std::size_t>(choice.n_generated)));
    response["usage"] = {
        {"input_tokens", choice.n_prompt},
        {"input_tokens_details", {{"cached_tokens", choice.stats.n_cached}, {"cache_write_tokens", 0}}},
        {"output_tokens", choice.n_generated},
        {"output_tokens_details", {{"reasoning_tokens", reasoning}}},
        {"total_tokens", choice.n_prompt + choice.n_generated}};
    if (store_) store(response);
    return response;
  }

  void store(const Json& response) {
    StoredResponse stored;
    stored.owner = owner_;
    stored.conversation = std::move(conversation_);
    stored.conversation.pop_back();  // the "]" of an array that is never empty
    for (const Json& item : output_.items()) {
      stored.output.emplace_back(item["id"].get<std::string>(), dump(item));
      stored.conversation += "," + stored.output.back().second;
    }
    stored.conversation += "]";
    stored.response = dump(response);
    store_->put(base_["id"].get<std::string>(), std::move(stored));
  }

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<ResponseStore> store_;  // null: the request says not to
  const uint64_t owner_;
  std::string conversation_;
  const std::unique_ptr<chat::OutputParser> parser_;
  ResponsesOutput output_;
  Json base_;  // the response object at its beginning
  int64_t sequence_number_ = 0;
};

}  // namespace

std::unique_ptr<Protocol> make_responses_protocol(const Call& call, ResponsesRequest request,
                                                  const SamplingParams& sampling,
                                                  std::unique_ptr<chat::OutputParser> parser) {
  return std::make_unique<ResponsesProtocol>(call, std::move(request), sampling, std::move(parser));
}

}  // namespace moraine::server
