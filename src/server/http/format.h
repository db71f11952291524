// Response to bytes: the head of an answer, chunks, and the transport's own error answers.
// Pure text; who sends it and when is connection.h's business.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/http/http.h"
#include "server/http/parser.h"

namespace moraine::http {

// How the end of a body is marked.
enum class Framing { kLength, kChunked, kUntilClose };

struct HeadOptions {
  Framing framing = Framing::kLength;
  bool http10 = false;
  bool keep_alive = true;
  std::string_view origin;  // the request's Origin: echoed, so that web pages may read the answer
};

// Status line and headers up to the empty line. Line breaks in header values, which could end the
// head early, become spaces.
std::string format_head(const Response& response, const HeadOptions& options);

// One chunk of a chunked body; `bytes` is not empty (an empty chunk is the end of a body).
std::string format_chunk(std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// An answer with OpenAI's error object, which clients of Anthropic's API can read as theirs: no route is known
// where this is needed.
Response error_response(const Refusal& refusal);

// The answer to OPTIONS: any page may call, with any header it asks for. There are no cookies here
// that a foreign page could ride on: what protects the API is its key.
Response preflight_response(std::string_view requested_headers);

std::string_view status_text(int status) noexcept;
bool has_no_body(int status) noexcept;  // 204, 304: a body would be read as the next answer

}  // namespace moraine::http
