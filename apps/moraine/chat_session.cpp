#include "chat_session.h"

#include <nlohmann/json.hpp>
#include <random>

#include "server/api/errors.h"
#include "server/api/sampling_fields.h"

namespace moraine::app {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::shared_ptr<const chat::ChatTemplate> compile(const ModelInfo& info, const Tokenizer& tokenizer,
                                                  const std::string& override_text) {
  const auto text_of = [&](TokenId id) {
    return tokenizer.contains(id) ? std::string(tokenizer.token_bytes(id)) : std::string();
  };
  const SpecialTokens& special = tokenizer.special();
  return chat::ChatTemplate::compile({.texts = info.chat_templates,
                                      .names = info.chat_template_names,
                                      .override_text = override_text,
                                      .bos_token = text_of(special.bos),
                                      .eos_token = text_of(special.eos),
                                      .unk_token = text_of(special.unk),
                                      .pad_token = text_of(special.pad)});
}

uint64_t fresh_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

ChatSession::ChatSession(std::shared_ptr<Engine> engine, const Settings& settings)
    : engine_(std::move(engine)),
      tokenizer_(engine_->tokenizer()),
      template_(compile(engine_->info(), *tokenizer_, settings.api.chat_template)),
      max_tokens_(settings.api.n_predict),
      variables_(settings.api.chat_template_kwargs),
      system_prompt_(settings.system_prompt) {
  const server::SamplingChoice choice =
      server::sampling_defaults(engine_->info().sampling, settings.api.sampling);
  sampling_ = choice.params;
  random_seed_ = choice.random_seed;
  form_ = server::standard_form(settings.api);
  if (!form_.is_free())
    constraints_ = std::make_unique<chat::AnswerConstraints>(tokenizer_, template_->output_format(), nullptr);
  if (constraints_) bind();  // one that cannot be used is better told now
  clear();
}

void ChatSession::clear() {
  messages_.clear();
  if (!system_prompt_.empty()) messages_.push_back({"system", system_prompt_});
}

chat::AnswerConstraint ChatSession::bind() const {
  try {
    return form_.bind(*constraints_);
  } catch (const server::ApiError& e) {
    throw Error(ErrorCode::kInvalidArgument, e.what());
  }
}

std::string ChatSession::messages_json() const {
  OrderedJson messages = OrderedJson::array();
  for (const Message& m : messages_) messages.push_back({{"role", m.role}, {"content", m.content}});
  // What was typed or piped in may not be UTF-8.
  return messages.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

Outcome ChatSession::ask(std::string_view question, Signals& signals,
                         const std::function<void(std::string_view)>& on_text) {
  messages_.push_back({"user", std::string(question)});
  try {
    const std::string messages = messages_json();
    const std::string prompt = template_->render({.messages_json = messages, .variables_json = variables_});
    GenerationRequest request;
    request.prompt = tokenizer_->encode(prompt, {.add_special = true, .parse_special = true});
    request.sampling = sampling_;
    if (random_seed_) request.sampling.seed = fresh_seed();
    request.max_tokens = max_tokens_;
    if (constraints_) {
      form_.start.reasoning = chat::reasoning_start(template_->output_format(), prompt, "");
      request.constraint = [bound = bind()] { return bound.start(); };
    }

    StreamDecoder decoder(tokenizer_, {.text_start = false});
    std::string answer;
    const auto add = [&](const std::string& text) {
      if (text.empty()) return;
      answer += text;
      on_text(text);
    };
    Outcome outcome = generate(*engine_, std::move(request), signals, [&](const TokenEvent& event) {
      if (!event.end_of_generation) add(decoder.push(event.id));
    });
    add(decoder.flush());
    messages_.push_back({"assistant", std::move(answer)});
    return outcome;
  } catch (...) {
    messages_.pop_back();
    throw;
  }
}

}  // namespace moraine::app
