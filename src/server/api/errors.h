// Errors as API clients see them: a status and OpenAI's error object, or Anthropic's on its routes. Thrown
// by the endpoints and turned into an answer in one place (api.cpp), or into an event once a stream has
// begun.
#pragma once

#include <moraine/error.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/http.h"

namespace moraine::server {

struct ApiError : std::runtime_error {
  ApiError(int status_, std::string type_, std::string code_, const std::string& message)
      : std::runtime_error(message), status(status_), type(std::move(type_)), code(std::move(code_)) {}
  int status;
  std::string type;                   // "invalid_request_error", ...
  std::string code;                   // for programs; "" shows as null
  std::string param;                  // the field at fault; "" shows as null
  std::vector<http::Header> headers;  // Retry-After, Allow, ...
  int32_t n_ctx = 0, n_prompt = 0;    // context_length_exceeded: both numbers, as fields too
};

// 400: `param` is the field at fault ("" where it is none or the whole body).
ApiError bad_request(const std::string& param, const std::string& message);
// 400 for a field that is understood but not available here; a client shall not retry it.
ApiError unsupported_field(const std::string& param, const std::string& message);
// 400 in the words that OpenCode, Codex, Claude Code and Qwen Code take as a cue to compact.
ApiError context_overflow(int32_t n_ctx, int32_t n_prompt);
// 503 with Retry-After, which every client honours.
ApiError unavailable(const std::string& code, const std::string& message, int retry_after_s);
// 501: an endpoint of llama-server or OpenAI that is yet to come.
ApiError not_built(const std::string& what);

ApiError to_api_error(const Error& error);

// Whose error object the clients of a path expect.
enum class ErrorForm : uint8_t { kOpenAi, kAnthropic };
ErrorForm error_form(std::string_view path);

// {"error":{"message","type","param","code"}} or {"type":"error","error":{"type","message"}}.
std::string error_json(const ApiError& error, ErrorForm form = ErrorForm::kOpenAi);
http::Response error_response(const ApiError& error, ErrorForm form = ErrorForm::kOpenAi);

}  // namespace moraine::server
