// Bytes to Request: owns the grammar and the size limits of one HTTP/1 request, and says why it
// refuses one. Knows no sockets and no time; connection.h feeds it. Beast stays inside parser.cpp.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "server/http/http.h"

namespace moraine::http {

struct ParserLimits {
  std::size_t max_header_bytes = 64 * 1024;  // request line, fields and trailers
  std::size_t max_body_bytes = 64 * 1024 * 1024;
};

// Why a request is not served: an HTTP status and a sentence for the client.
struct Refusal {
  int status = 400;
  std::string code;  // for programs: "body_too_large"
  std::string message;
};

// One parser reads one request.
class RequestParser {
 public:
  enum class State {
    kHead,     // the header is not complete
    kBody,     // the header is known, the body is not complete
    kDone,     // take_request() may be called once
    kRefused,  // see refusal(); the connection cannot be used further
  };

  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;

  // Reads from the front of `bytes` and returns how many it used up; 0 means that it needs more
  // than `bytes`. Returns early when the header is complete, so that the caller can look at it.
  // Never touches what follows the request (the next, pipelined one). No exceptions.
  std::size_t feed(std::string_view bytes) noexcept;

  // Refuses for a reason that the parser cannot see (time, memory).
  void refuse(Refusal refusal) noexcept;

  State state() const noexcept;
  const Refusal& refusal() const noexcept;
  bool started() const noexcept;  // a byte of the request has arrived

  // Known once the header is complete.
  bool keep_alive() const noexcept;  // what the client asked for
  bool http10() const noexcept;
  bool head_only() const noexcept;                       // the method was HEAD
  bool expects_continue() const noexcept;                // it sends its body after our "100 Continue"
  std::string_view header(std::string_view name) const;  // empty where absent
  std::size_t body_bytes() const noexcept;

  Request take_request();  // also of a refused request: what there is of it

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Undoes %XX. False where an escape is not two hex digits or yields NUL.
bool percent_decode(std::string_view text, std::string& decoded);

}  // namespace moraine::http
