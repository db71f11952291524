// An API over a fake engine, and a way to call it in one line.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "server/api/api.h"
#include "server/api/json.h"
#include "server/api/testing/fake_engine.h"
#include "server/api/testing/fake_exchange.h"

namespace moraine::server {

struct Harness {
  explicit Harness(ApiOptions options = {}) : api(with_log(std::move(options))) {}

  void ready() { api.set_ready(engine); }

  // Handles the exchange and lets the engine run until nothing is left.
  std::shared_ptr<FakeExchange> call(std::string method, std::string path, std::string body = "",
                                     std::vector<http::Header> headers = {}) {
    auto exchange = begin(std::move(method), std::move(path), std::move(body), std::move(headers));
    engine->run();
    return exchange;
  }
  // Handles it alone; the test steps the engine.
  std::shared_ptr<FakeExchange> begin(std::string method, std::string path, std::string body = "",
                                      std::vector<http::Header> headers = {}) {
    auto exchange = std::make_shared<FakeExchange>(std::move(method), std::move(path), std::move(body),
                                                   std::move(headers));
    api.handle(exchange);
    api.settle();
    return exchange;
  }
  Json post(const std::string& path, const Json& body, int status = 200) {
    const auto exchange = call("POST", path, dump(body));
    last_status = exchange->head.status;
    if (last_status != status) return Json{{"unexpected status", last_status}, {"body", exchange->body}};
    return Json::parse(exchange->body);
  }
  void answers(std::string text) {
    engine->script = [text = std::move(text)](const GenerationRequest&) {
      return FakeScript{.tokens = byte_tokens(text)};
    };
  }

  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
  std::vector<std::string> log;    // warnings and errors
  std::vector<std::string> infos;  // and the rest
  int last_status = 0;
  Api api;

 private:
  ApiOptions with_log(ApiOptions options) {
    options.log = [this](LogLevel level, const std::string& line) {
      (level >= LogLevel::kWarning ? log : infos).push_back(line);
    };
    return options;
  }
};

struct ReadyHarness : Harness {
  explicit ReadyHarness(ApiOptions options = {}) : Harness(std::move(options)) { ready(); }
};

// The events of a stream, "[DONE]" as a string. A name before one must be its type.
inline std::vector<Json> events_of(const std::string& body) {
  std::vector<Json> events;
  std::size_t at = 0;
  while (at < body.size()) {
    const std::size_t end = body.find("\n\n", at);
    std::string name;
    if (body.compare(at, 7, "event: ") == 0) {
      name = body.substr(at + 7, body.find('\n', at) - at - 7);
      at += 7 + name.size() + 1;
    }
    if (end == std::string::npos || body.compare(at, 6, "data: ") != 0) {
      events.push_back("not an event: " + body.substr(at));
      break;
    }
    const std::string data = body.substr(at + 6, end - at - 6);
    events.push_back(data == "[DONE]" ? Json(data) : Json::parse(data));
    if (!name.empty() && events.back()["type"] != name) events.push_back("misnamed event: " + name);
    at = end + 2;
  }
  return events;
}

}  // namespace moraine::server
