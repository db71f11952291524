// The HTTP API: OpenAI's endpoints and llama-server's over one engine. Owns routing, keys, the state
// before the model is there, and the endpoints of this folder; knows nothing of sockets (http/http.h)
// and nothing of tensors (<moraine/engine.h>). Start reading at routes.cpp, then chat_completions.cpp.
#pragma once

#include <moraine/engine.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/http/http.h"
#include "usage/record.h"

namespace moraine::server {

// Whose prompts a request may take from the cache: those sent with its own API key, or anybody's.
enum class CacheScope : uint8_t { kKey, kAll };

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

// Sampling values that the command line gave. An empty one falls to the file's general.sampling.*,
// then to llama-server's default (SamplingParams).
struct SamplingOverrides {
  std::optional<float> temperature, top_p, min_p, typical_p;
  std::optional<float> repeat_penalty, presence_penalty, frequency_penalty;
  std::optional<int32_t> top_k, min_keep, repeat_last_n;
  std::optional<uint64_t> seed;  // empty: a fresh one for each request
  std::optional<bool> ignore_eos;
  std::vector<std::pair<TokenId, float>> logit_bias;
};

struct ApiOptions {
  std::string alias;                  // the id that /v1/models shows; "": the file's name
  std::vector<std::string> api_keys;  // any of these opens the API; none: no key is asked for
  SamplingOverrides sampling;
  int32_t n_predict = -1;            // most tokens of an answer where the request says nothing; < 0: no limit
  int32_t max_choices = 128;         // largest `n` of a request
  std::string chat_template;         // Jinja text in place of the file's; "": the file's
  std::string chat_template_kwargs;  // a JSON object: values the template sees unless the request has its own
  // Held to where a request demands no form of its own and offers no tools: a GBNF grammar, or a JSON schema. "":
  // any answer will do.
  std::string grammar, json_schema;
  bool cache_prompt = true;          // where the request does not say `cache_prompt`
  CacheScope cache_scope = CacheScope::kKey;
  bool metrics = true;                 // GET /metrics
  bool slots = true;                   // GET /slots
  std::string slot_save_path;          // POST /slots/ID?action=save and restore: their files' folder; "": none
  bool https = false;                  // how clients reach it: for settings that name its address
  std::string build_info = "moraine";  // in /props and system_fingerprint
  // Called on any thread, one line without a line end. Request texts are never logged.
  std::function<void(LogLevel, const std::string&)> log;
  // Called with what each request took once it is over, on any thread, the engine's among them: must return at
  // once. Empty: nobody counts.
  std::function<void(usage::Record)> on_usage;
};

// Thread-safe. Made before the model is loaded, so that the port can answer from the start: /health
// and API calls get 503 with Retry-After, phase, bytes and seconds left until set_ready().
class Api {
 public:
  // Throws Error{kInvalidArgument} for options that can never work.
  explicit Api(ApiOptions options);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  void set_loading(const LoadProgress& progress);
  // Compiles the chat template. One of the file's that does not compile is logged, and only chat calls
  // fail by it; for one of the options Error is thrown, and the state stays as it was.
  void set_ready(std::shared_ptr<Engine> engine);
  void set_failed(const Error& error);  // from now on every call answers 500 with this message

  // Routes and answers one exchange; returns before generations end, and for some before they begin. Never
  // throws.
  void handle(std::shared_ptr<http::Exchange> exchange) noexcept;
  void settle();            // waits until all that came before has begun or been refused; for tests
  http::Handler handler();  // handle() as the transport wants it; the Api must outlive the transport

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moraine::server
