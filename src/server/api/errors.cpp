#include "server/api/errors.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "server/api/json.h"

namespace moraine::server {

ApiError bad_request(const std::string& param, const std::string& message) {
  ApiError error(400, "invalid_request_error", "", message);
  error.param = param;
  return error;
}

ApiError unsupported_field(const std::string& param, const std::string& message) {
  ApiError error = bad_request(param, message);
  error.code = "unsupported_parameter";
  return error;
}

ApiError context_overflow(int32_t n_ctx, int32_t n_prompt) {
  ApiError error(
      400, "invalid_request_error", "context_length_exceeded",
      fmt::format("This model's maximum context length is {} tokens. However, your messages resulted in "
                  "{} tokens; the request exceeds the available context size.",
                  n_ctx, n_prompt));
  error.n_ctx = n_ctx;
  error.n_prompt = n_prompt;
  return error;
}

ApiError unavailable(const std::string& code, const std::string& message, int retry_after_s) {
  ApiError error(503, "unavailable_error", code, message);
  error.headers.push_back({"Retry-After", std::to_string(retry_after_s)});
  return error;
}

ApiError not_built(const std::string& what) {
  return ApiError(501, "not_supported_error", "not_implemented",
                  what + " is not available in this version of moraine.");
}

ApiError to_api_error(const Error& error) {
  const std::string message = error.what();
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
      return bad_request("", message);
    case ErrorCode::kNotFound:
      return ApiError(404, "not_found_error", "not_found", message);
    case ErrorCode::kContextOverflow:
      return ApiError(400, "invalid_request_error", "context_length_exceeded", message);
    case ErrorCode::kUnsupported:
      return ApiError(501, "not_supported_error", "not_supported", message);
    case ErrorCode::kUnavailable:
      return unavailable("unavailable", message, 1);
    case ErrorCode::kCancelled:
      return unavailable("cancelled", message, 1);
    case ErrorCode::kOutOfMemory:
      return unavailable("out_of_memory", message, 5);
    case ErrorCode::kCorruptFile:
    case ErrorCode::kDeviceLost:
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      break;
  }
  return ApiError(500, "server_error", to_string(error.code()), message);
}

ErrorForm error_form(std::string_view path) {
  constexpr std::string_view kMessages = "/v1/messages";
  const bool anthropic = path == kMessages || (path.starts_with(kMessages) && path[kMessages.size()] == '/');
  return anthropic ? ErrorForm::kAnthropic : ErrorForm::kOpenAi;
}

namespace {

// Anthropic's names follow from the status. A server that is loading is no overloaded one: of that, Claude
// Code takes three answers and gives up, whereas it waits for any other 503 as long as Retry-After says.
const char* anthropic_type(const ApiError& error) {
  switch (error.status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return error.code == "loading_model" ? "api_error" : "overloaded_error";
    default:
      return error.status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

std::string error_json(const ApiError& error, ErrorForm form) {
  if (form == ErrorForm::kAnthropic) {
    return dump({{"type", "error"}, {"error", {{"type", anthropic_type(error)}, {"message", error.what()}}}});
  }
  const auto text_or_null = [](const std::string& s) { return s.empty() ? Json(nullptr) : Json(s); };
  Json object = {{"message", error.what()},
                 {"type", error.type},
                 {"param", text_or_null(error.param)},
                 {"code", text_or_null(error.code)}};
  if (error.n_ctx > 0) {
    object["n_prompt_tokens"] = error.n_prompt;
    object["n_ctx"] = error.n_ctx;
  }
  return dump(Json{{"error", std::move(object)}});
}

http::Response error_response(const ApiError& error, ErrorForm form) {
  http::Response response;
  response.status = error.status;
  response.headers = error.headers;
  response.body = error_json(error, form);
  return response;
}

}  // namespace moraine::server
