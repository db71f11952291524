// The state of the API (loading, ready, failed) and the way of one request through it: route, key,
// model, endpoint; and the one place where exceptions become answers.
#include "server/api/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "chat/answer_constraint.h"
#include "server/api/answer_form.h"
#include "server/api/auth.h"
#include "server/api/context.h"
#include "server/api/errors.h"
#include "server/api/fields.h"
#include "server/api/render.h"
#include "server/api/response_store.h"
#include "server/api/routes.h"
#include "server/api/turn_store.h"
#include "server/api/worker.h"

namespace moraine::server {

void reply_json(http::Exchange& exchange, const Json& body) {
  http::Response response;
  response.body = dump(body);
  exchange.reply(std::move(response));
}

namespace {

// Parsing, rendering and tokenizing take some 0.15 s for each MB. Larger bodies than this wait for each
// other, on a thread of their own, so that no other request waits for them.
constexpr std::size_t kLargeBody = 1 << 20;

constexpr std::size_t kMaxLoggedBytes = 500;  // of a line that may quote what a client sent

void compile_template(ServedModel& model, const ModelInfo& info, const ApiOptions& options, Log& log) {
  chat::TemplateSource source = chat::template_source(*model.tokenizer);
  source.texts = info.chat_templates;
  source.names = info.chat_template_names;
  source.override_text = options.chat_template;
  try {
    model.chat_template = chat::ChatTemplate::compile(source);
    if (!model.chat_template->note().empty()) log.line(LogLevel::kWarning, model.chat_template->note());
  } catch (const Error& e) {
    if (!options.chat_template.empty()) throw;
    model.chat_template_error = e.what();
    log.line(LogLevel::kWarning, e.what());
  }
}

}  // namespace

// A request in a queue. What it holds goes at once when its client leaves, not at its turn.
class WaitingCall {
 public:
  struct Work {
    std::shared_ptr<http::Exchange> exchange;
    std::function<void()> run;
  };
  explicit WaitingCall(Work work) : work_(std::move(work)) {}
  std::optional<Work> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(work_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::optional<Work> work_;
};

struct Api::State {
  std::shared_ptr<const ApiOptions> options;
  std::shared_ptr<Log> log;
  const std::shared_ptr<ResponseStore> responses = std::make_shared<ResponseStore>();

  std::mutex mutex;
  std::string phase = "starting";
  LoadProgress progress;
  std::optional<Error> failure;
  std::shared_ptr<const ServedModel> model;  // once ready

  std::shared_ptr<const ServedModel> current_model() {
    const std::lock_guard lock(mutex);
    return model;
  }
  http::Response not_ready(ErrorForm form);
  void dispatch(const std::shared_ptr<http::Exchange>& exchange);
  void answer_errors(http::Exchange& exchange, const std::function<void()>& work) noexcept;
  void put_off(Worker& worker, const std::shared_ptr<http::Exchange>& exchange, std::function<void()> work);

  // Last: their tasks use the others. One for large bodies, one for grammars that are compiled.
  Worker slow_requests, large_requests;
};

Api::Api(ApiOptions options) : state_(std::make_unique<State>()) {
  if (!options.chat_template_kwargs.empty()) {
    try {
      const Json kwargs = parse_json(options.chat_template_kwargs, "What was given");
      Fields{kwargs};
    } catch (const ApiError& e) {
      throw Error(
          ErrorCode::kInvalidArgument,
          std::string("The chat template's variables (chat_template_kwargs) must be a JSON object: ") +
              e.what());
    }
  }
  for (const std::string& key : options.api_keys) {
    if (key.empty())
      throw Error(ErrorCode::kInvalidArgument, "An API key is empty; leave it out or give one.");
  }
  state_->log = std::make_shared<Log>(options.log);
  state_->options = std::make_shared<const ApiOptions>(std::move(options));
}

Api::~Api() = default;

void Api::set_loading(const LoadProgress& progress) {
  const std::lock_guard lock(state_->mutex);
  state_->progress = progress;
  state_->phase = progress.phase;  // a copy: the pointer is the loader's
  state_->progress.phase = "";
}

void Api::set_ready(std::shared_ptr<Engine> engine) {
  auto model = std::make_shared<ServedModel>();
  const ModelInfo& info = engine->info();
  model->tokenizer = engine->tokenizer();
  model->turns = std::make_shared<TurnStore>();
  model->id = state_->options->alias.empty() ? info.file_name : state_->options->alias;
  model->created = unix_seconds();
  model->sampling = sampling_defaults(info.sampling, state_->options->sampling);
  compile_template(*model, info, *state_->options, *state_->log);
  model->constraints = std::make_shared<chat::AnswerConstraints>(
      model->tokenizer, model->chat_template ? model->chat_template->output_format() : chat::OutputFormat(),
      [log = state_->log](const std::string& line) {
        log->line(LogLevel::kWarning, line.substr(0, kMaxLoggedBytes));
      });
  try {
    if (const AnswerForm form = standard_form(*state_->options); !form.is_free())
      form.bind(*model->constraints);
  } catch (const ApiError& e) {
    throw Error(ErrorCode::kInvalidArgument, e.what());
  }
  model->engine = std::move(engine);
  const std::lock_guard lock(state_->mutex);
  state_->model = std::move(model);
}

void Api::set_failed(const Error& error) {
  const std::lock_guard lock(state_->mutex);
  state_->failure = error;
}

void Api::settle() {
  for (Worker* worker : {&state_->large_requests, &state_->slow_requests}) {  // the first feeds the second
    std::promise<void> reached;
    worker->post([&] { reached.set_value(); });
    reached.get_future().wait();
  }
}

http::Handler Api::handler() {
  return [this](std::shared_ptr<http::Exchange> exchange) { handle(std::move(exchange)); };
}

void Api::handle(std::shared_ptr<http::Exchange> exchange) noexcept {
  state_->answer_errors(*exchange, [&] { state_->dispatch(exchange); });
}

void Api::State::answer_errors(http::Exchange& exchange, const std::function<void()>& work) noexcept {
  try {
    const ErrorForm form = error_form(exchange.request().path);
    http::Response response;
    std::string reason = "an internal error";
    try {
      work();
      return;
    } catch (const ApiError& e) {
      reason = e.what();
      response = error_response(e, form);
    } catch (const Error& e) {
      reason = e.what();
      response = error_response(to_api_error(e), form);
    } catch (const std::bad_alloc&) {
      response = error_response(
          unavailable("out_of_memory", "There is not enough memory for this request.", 5), form);
    } catch (const std::exception& e) {
      log->line(LogLevel::kError, fmt::format("{}: {}", exchange.request().path, e.what()));
      response = error_response(
          ApiError(500, "server_error", "internal", fmt::format("Internal error: {}.", e.what())), form);
    }
    // What a client did wrong is looked for in the log; a client that waits for the model asks without end.
    const std::string line = fmt::format("{} {} refused with {}: {}", exchange.request().method,
                                         exchange.request().path, response.status, reason);
    log->line(response.status < 500 ? LogLevel::kInfo : LogLevel::kDebug, line.substr(0, kMaxLoggedBytes));
    exchange.reply(std::move(response));
  } catch (...) {  // no memory even for the error; the transport answers an exchange that was dropped
  }
}

void Api::State::dispatch(const std::shared_ptr<http::Exchange>& exchange) {
  const http::Request& request = exchange->request();
  const Route& route = find_route(request.method, request.path);
  if (route.needs_key && !is_authorized(request, options->api_keys)) {
    ApiError error(401, "authentication_error", "invalid_api_key",
                   "The API key is missing or wrong; send it as 'Authorization: Bearer KEY'.");
    error.headers.push_back({"WWW-Authenticate", "Bearer"});
    throw error;
  }
  const auto ready = current_model();
  if (!ready) return exchange->reply(not_ready(error_form(request.path)));
  Call call{exchange,
            ready,
            options,
            log,
            responses,
            [this, weak = std::weak_ptr(exchange)](std::function<void()> work) {
              if (const auto here = weak.lock()) put_off(slow_requests, here, std::move(work));
            }};
  if (request.body.size() <= kLargeBody) return route.endpoint(call);
  put_off(large_requests, exchange, [call = std::move(call), &route] { route.endpoint(call); });
}

void Api::State::put_off(Worker& worker, const std::shared_ptr<http::Exchange>& exchange,
                         std::function<void()> work) {
  const auto waiting = std::make_shared<WaitingCall>(WaitingCall::Work{exchange, std::move(work)});
  exchange->on_close([weak = std::weak_ptr(waiting)] {
    if (const auto left = weak.lock()) left->take();
  });
  worker.post([this, waiting] {
    const auto call = waiting->take();
    if (call) answer_errors(*call->exchange, call->run);
  });
}

// llama-server's words for monitors ("loading model"), and how far it is for people and clients.
http::Response Api::State::not_ready(ErrorForm form) {
  const std::lock_guard lock(mutex);
  if (failure) {
    return error_response(ApiError(500, "server_error", "model_load_failed",
                                   std::string("The model could not be loaded: ") + failure->what()),
                          form);
  }
  constexpr int kUnknownRetry_s = 2, kLongestRetry_s = 30;
  const bool known = progress.seconds_left >= 0;
  const int retry_s = known ? std::clamp(static_cast<int>(std::ceil(std::min(progress.seconds_left, 1e6))), 1,
                                         kLongestRetry_s)
                            : kUnknownRetry_s;
  std::string message = "The model is not loaded yet: " + phase;
  if (progress.bytes_total > 0) {
    message += fmt::format(", {:.2f} of {:.2f} GB", static_cast<double>(progress.bytes_done) / 1e9,
                           static_cast<double>(progress.bytes_total) / 1e9);
  }
  if (known) message += fmt::format(", about {:.0f} s left", std::ceil(progress.seconds_left));
  http::Response response = error_response(unavailable("loading_model", message + ".", retry_s), form);
  Json body = Json::parse(response.body);
  body["status"] = "loading model";
  body["phase"] = phase;
  body["bytes_done"] = progress.bytes_done;
  body["bytes_total"] = progress.bytes_total;
  body["bytes_per_second"] = progress.bytes_per_second;
  body["seconds_left"] = known ? Json(progress.seconds_left) : Json(nullptr);
  response.body = dump(body);
  return response;
}

}  // namespace moraine::server
