// Routing, keys, the states before and after loading, and the endpoints that generate nothing.
#include "server/api/api.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "server/api/auth.h"
#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

TEST(Api, BeforeTheModelIsLoadedCallsSayHowFarItIs) {
  Harness h;
  h.api.set_loading({.phase = "loading weights",
                     .bytes_done = 1'500'000'000,
                     .bytes_total = 3'000'000'000,
                     .bytes_per_second = 3e8,
                     .seconds_left = 4.2});
  for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{
           {"GET", "/health"}, {"GET", "/v1/models"}, {"POST", "/v1/chat/completions"}}) {
    const auto exchange = h.call(method, path, "{}");
    EXPECT_EQ(exchange->head.status, 503) << path;
    EXPECT_EQ(exchange->header("Retry-After"), "5");
    const Json json = Json::parse(exchange->body);
    EXPECT_EQ(json["error"]["message"],
              "The model is not loaded yet: loading weights, 1.50 of 3.00 GB, about 5 s left.");
    EXPECT_EQ(json["error"]["type"], "unavailable_error");
    EXPECT_EQ(json["status"], "loading model");
    EXPECT_EQ(json["phase"], "loading weights");
    EXPECT_EQ(json["bytes_done"], 1'500'000'000);
    EXPECT_EQ(json["seconds_left"], 4.2);
  }
  h.ready();
  EXPECT_EQ(h.call("GET", "/health")->body, R"({"status":"ok"})");
}

TEST(Api, RetryAfterIsBoundedWhateverTheEstimate) {
  Harness h;
  EXPECT_EQ(h.call("GET", "/health")->header("Retry-After"), "2");
  h.api.set_loading({.phase = "x", .seconds_left = 1e300});
  EXPECT_EQ(h.call("GET", "/health")->header("Retry-After"), "30");
  h.api.set_loading({.phase = "x", .seconds_left = 0});
  EXPECT_EQ(h.call("GET", "/health")->header("Retry-After"), "1");
}

TEST(Api, AFailedLoadSaysWhy) {
  Harness h;
  h.api.set_failed(Error(ErrorCode::kCorruptFile, "The file ends early."));
  const auto exchange = h.call("GET", "/health");
  EXPECT_EQ(exchange->head.status, 500);
  EXPECT_NE(exchange->body.find("The file ends early."), std::string::npos);
}

TEST(Api, UnknownPathsWrongMethodsAndWhatIsToCome) {
  ReadyHarness h;
  EXPECT_EQ(h.call("GET", "/nowhere")->head.status, 404);
  EXPECT_EQ(h.call("GET", "/")->head.status, 404);
  EXPECT_EQ(h.call("GET", "")->head.status, 404);
  EXPECT_EQ(h.call("GET", "/v1/models/")->head.status, 200);
  EXPECT_EQ(h.call("HEAD", "/health")->head.status, 200);
  const auto wrong = h.call("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong->head.status, 405);
  EXPECT_EQ(wrong->header("Allow"), "POST");
  EXPECT_EQ(h.call("DELETE", "/lora-adapters")->header("Allow"), "GET, POST");
  for (const char* path : {"/infill", "/v1/embeddings", "/rerank", "/lora-adapters", "/models/load"}) {
    const auto exchange = h.call("POST", path, "{}");
    EXPECT_EQ(exchange->head.status, 501) << path;
    EXPECT_EQ(Json::parse(exchange->body)["error"]["code"], "not_implemented");
  }
}

TEST(Api, KeysOpenWhatIsNotPublic) {
  ReadyHarness h(ApiOptions{.api_keys = {"secret", "other"}});
  const auto status = [&](const char* path, std::vector<http::Header> headers) {
    return h.call("GET", path, "", std::move(headers))->head.status;
  };
  EXPECT_EQ(status("/props", {}), 401);
  EXPECT_EQ(status("/props", {{"Authorization", "Bearer secret"}}), 200);
  EXPECT_EQ(status("/props", {{"authorization", "bearer  other"}}), 200);
  EXPECT_EQ(status("/props", {{"X-Api-Key", "other"}}), 200);
  for (const char* wrong : {"Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "secret", "Basic secret",
                            "Bearer "
                            "secretsecret"}) {
    EXPECT_EQ(status("/props", {{"Authorization", wrong}}), 401) << wrong;
  }
  EXPECT_EQ(status("/health", {}), 200);
  EXPECT_EQ(status("/v1/models", {}), 200);
  const auto exchange = h.call("POST", "/v1/chat/completions", "{}");
  EXPECT_EQ(exchange->head.status, 401);
  EXPECT_EQ(Json::parse(exchange->body)["error"]["code"], "invalid_api_key");
}

TEST(Api, OptionsThatCanNeverWorkAreRefused) {
  EXPECT_THROW(Api(ApiOptions{.api_keys = {""}}), Error);
  EXPECT_THROW(Api(ApiOptions{.chat_template_kwargs = "[1]"}), Error);
  EXPECT_THROW(Api(ApiOptions{.chat_template_kwargs = "{"}), Error);
  Harness h(ApiOptions{.chat_template = "{% if %}"});
  EXPECT_THROW(h.ready(), Error);
}

TEST(Api, ModelsShowTheFileOrItsAlias) {
  ReadyHarness h;
  const Json json = Json::parse(h.call("GET", "/v1/models")->body);
  EXPECT_EQ(json["object"], "list");
  EXPECT_EQ(json["data"][0]["id"], "fake-q8_0.gguf");
  EXPECT_EQ(json["data"][0]["meta"]["n_ctx"], 256);
  EXPECT_EQ(json["data"][0]["meta"]["n_ctx_train"], 512);
  ReadyHarness named(ApiOptions{.alias = "me/coder"});
  EXPECT_EQ(Json::parse(named.call("GET", "/models")->body)["data"][0]["id"], "me/coder");
  EXPECT_EQ(Json::parse(named.call("GET", "/v1/models/me/coder")->body)["id"], "me/coder");
  EXPECT_EQ(named.call("GET", "/v1/models/other")->head.status, 404);
}

TEST(Api, PropsSayWhereEachValueComesFrom) {
  Harness h(ApiOptions{.sampling = {.temperature = 0.25f}});
  h.engine->model_info.sampling.temperature = 0.5f;
  h.engine->model_info.sampling.top_k = 7;
  h.ready();
  const Json json = Json::parse(h.call("GET", "/props")->body);
  const Json& settings = json["default_generation_settings"];
  EXPECT_EQ(settings["params"]["temperature"], 0.25);
  EXPECT_EQ(settings["params"]["top_k"], 7);
  EXPECT_EQ(settings["params"]["top_p"], 0.95);
  EXPECT_EQ(settings["sources"]["temperature"], "flags");
  EXPECT_EQ(settings["sources"]["top_k"], "file");
  EXPECT_EQ(settings["sources"]["top_p"], "built-in");
  EXPECT_EQ(settings["n_ctx"], 256);
  EXPECT_EQ(json["n_ctx_train"], 512);
  EXPECT_EQ(json["total_slots"], 2);
  EXPECT_EQ(json["model_path"], "/models/fake-q8_0.gguf");
  EXPECT_NE(json["chat_template"].get<std::string>().find("im_start"), std::string::npos);
  EXPECT_EQ(json["eos_token"], "<|im_end|>");
}

TEST(Api, MetricsAndSlots) {
  ReadyHarness h;
  const auto metrics = h.call("GET", "/metrics");
  EXPECT_EQ(metrics->head.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(metrics->body.find("\nllamacpp:tokens_predicted_total 0\n"), std::string::npos);
  EXPECT_NE(metrics->body.find("\nmoraine:drafter_drafted_tokens_total{drafter=\"model\"} 3\n"),
            std::string::npos);
  EXPECT_NE(metrics->body.find("\nmoraine:drafter_accepted_tokens_total{drafter=\"model\"} 2\n"),
            std::string::npos);
  EXPECT_EQ(Json::parse(h.call("GET", "/slots")->body).size(), 2u);
  ReadyHarness off(ApiOptions{.metrics = false, .slots = false});
  EXPECT_EQ(off.call("GET", "/metrics")->head.status, 501);
  EXPECT_EQ(off.call("GET", "/slots")->head.status, 501);
}

TEST(Api, TokenizeAndBack) {
  ReadyHarness h;
  EXPECT_EQ(h.post("/tokenize", {{"content", "hi<|im_end|>"}}), Json::parse(R"({"tokens":[104,105,257]})"));
  EXPECT_EQ(h.post("/tokenize", {{"content", "<|im_end|>"}, {"parse_special", false}})["tokens"].size(), 10u);
  EXPECT_EQ(dump(h.post("/tokenize", {{"content", "a\u00e9"}, {"with_pieces", true}})),
            R"({"tokens":[{"id":97,"piece":"a"},{"id":195,"piece":[195]},{"id":169,"piece":[169]}]})");
  EXPECT_EQ(h.post("/detokenize", {{"tokens", {104, 105, 257}}})["content"], "hi<|im_end|>");
  EXPECT_EQ(h.post("/tokenize", {{"content", 5}}, 400)["error"]["param"], "content");
  for (const Json& bad : std::vector<Json>{"x", Json::array({-1}), Json::array({260}), Json::array({1.5}),
                                           Json::array({18446744073709551615u})}) {
    EXPECT_EQ(h.post("/detokenize", {{"tokens", bad}}, 400)["error"]["param"], "tokens") << dump(bad);
  }
}

TEST(Api, LargeBodiesHoldUpNoTransportThread) {
  ReadyHarness h(ApiOptions{.api_keys = {"k"}});
  const std::string body = dump({{"prompt", std::string(3 << 20, 'x')}});
  EXPECT_EQ(h.begin("POST", "/completion", body)->head.status, 401);  // before it takes its turn
  const auto exchange = h.begin("POST", "/completion", body, {{"x-api-key", "k"}});
  while (!exchange->ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(exchange->head.status, 400);
  EXPECT_EQ(Json::parse(exchange->body)["error"]["n_prompt_tokens"], 3 << 20);
}

TEST(Api, LargeBodiesThatWaitAtTheEndAreDropped) {
  std::vector<std::shared_ptr<FakeExchange>> waiting;
  {
    ReadyHarness h;
    for (int i = 0; i < 20; ++i) {
      waiting.push_back(h.begin("POST", "/completion", dump({{"prompt", std::string(2 << 20, 'x')}})));
    }
  }
  for (const auto& exchange : waiting) EXPECT_EQ(exchange.use_count(), 1);
}

TEST(Api, BodiesThatAreNoRequestsAreRefused) {
  ReadyHarness h;
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/completion", "/tokenize",
                           "/detokenize", "/apply-template"}) {
    for (const char* body :
         {"", "{", "[]", "null", "\"x\"", "{}", "{\"messages\":1,\"prompt\":{},\"tokens\":1}"}) {
      const auto exchange = h.call("POST", path, body);
      EXPECT_EQ(exchange->head.status, 400) << path << " " << body;
      const Json error = Json::parse(exchange->body)["error"];
      EXPECT_TRUE(error["message"].is_string() && error["type"] == "invalid_request_error") << exchange->body;
      EXPECT_TRUE(error.contains("param") && error.contains("code"));
    }
  }
}

}  // namespace
}  // namespace moraine::server
