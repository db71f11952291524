// Any body to any endpoint: one answer comes, it is text, and errors have OpenAI's shape. The first byte
// chooses the endpoint.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "server/api/api.h"
#include "server/api/json.h"
#include "server/api/testing/fake_engine.h"
#include "server/api/testing/fake_exchange.h"

namespace {

using namespace moraine::server;

constexpr const char* kPaths[] = {"/v1/chat/completions", "/v1/completions", "/completion", "/tokenize",
                                  "/detokenize",          "/apply-template"};

void require(bool ok) {
  if (!ok) std::abort();
}

struct Fixture {
  Fixture() {
    engine->model_info.n_ctx = 64;  // answers stay short
    engine->model_info.chat_templates = {"{{ messages }}{{ tools }}"};
    ApiOptions options;
    options.max_choices = 4;
    api = std::make_unique<Api>(std::move(options));
    api->set_ready(engine);
  }
  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
  std::unique_ptr<Api> api;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Fixture f;
  const char* path = kPaths[data[0] % std::size(kPaths)];
  const auto exchange = std::make_shared<FakeExchange>(
      "POST", path, std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  f.api->handle(exchange);
  f.engine->run();
  require(exchange->n_answers == 1 && exchange->ended);
  if (!exchange->streamed) {
    const Json body = Json::parse(exchange->body, nullptr, false);  // is it JSON, and UTF-8?
    require(!body.is_discarded());
    const int status = exchange->head.status;
    require(status == 200 || status == 400 || status == 501);
    if (status != 200) require(body["error"]["message"].is_string() && body["error"].contains("param"));
  }
  return 0;
}
