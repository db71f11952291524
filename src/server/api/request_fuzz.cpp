// Any body to any endpoint: one answer comes, it is text, streams end as their protocol wants it, and errors
// have the shape of their route. The first byte chooses the endpoint: '0' is the first one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "server/api/api.h"
#include "server/api/errors.h"
#include "server/api/json.h"
#include "server/api/testing/agent_harness.h"

namespace {

using namespace moraine::server;

constexpr const char* kPaths[] = {"/v1/chat/completions",
                                  "/v1/completions",
                                  "/completion",
                                  "/tokenize",
                                  "/detokenize",
                                  "/apply-template",
                                  "/v1/messages",
                                  "/v1/responses",
                                  "/v1/messages/count_tokens",
                                  "/v1/responses/input_tokens"};

constexpr const char* kAnswer =
    "<think>Hm.</think>Text.<tool_call>{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}</tool_call> "
    "More.";

void require(bool ok) {
  if (!ok) std::abort();
}

struct Fixture {
  Fixture() {
    engine->model_info.n_ctx = 1024;  // answers stay short
    engine->model_info.chat_templates = {kAgentTemplate};
    engine->script = [](const auto&) { return FakeScript{.tokens = byte_tokens(kAnswer)}; };
    ApiOptions options;
    options.max_choices = 4;
    api = std::make_unique<Api>(std::move(options));
    api->set_ready(engine);
  }
  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
  std::unique_ptr<Api> api;
};

void check_stream(const std::string& path, const std::string& body) {
  const auto events = events_of(body);
  for (const Json& event : events) require(event.is_object() || event == "[DONE]");
  if (events.back().is_object() && events.back().contains("error") && events.back()["error"].is_object())
    return;
  const std::string last = events.back().is_object() ? events.back().value("type", "") : "[DONE]";
  if (path == "/v1/messages") require(last == "message_stop");
  if (path == "/v1/responses") require(last == "response.completed" || last == "response.incomplete");
}

void check_error(const std::string& path, const Json& body) {
  require(body["error"]["message"].is_string() && body["error"]["type"].is_string());
  if (error_form(path) == ErrorForm::kAnthropic) {
    require(body["type"] == "error");
  } else {
    require(body["error"].contains("param"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Fixture f;
  const std::string path = kPaths[static_cast<uint8_t>(data[0] - '0') % std::size(kPaths)];
  const auto exchange = std::make_shared<FakeExchange>(
      "POST", path, std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  f.api->handle(exchange);
  f.api->settle();
  f.engine->run();
  require(exchange->n_answers == 1 && exchange->ended);
  if (exchange->streamed) {
    check_stream(path, exchange->body);
    return 0;
  }
  const Json body = Json::parse(exchange->body, nullptr, false);  // is it JSON, and UTF-8?
  require(!body.is_discarded());
  const int status = exchange->head.status;
  require(status == 200 || status == 400 || status == 501);
  if (status != 200) check_error(path, body);
  return 0;
}
