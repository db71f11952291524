// The seam between transport and API: one request being answered. The transport (server.h) owns
// sockets, parsing, limits, keep-alive, time-outs and draining; the API (api/) sees only this.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moraine::http {

struct Header {
  std::string name;
  std::string value;
};

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;  // ASCII letters alone

struct Request {
  std::string method;  // "GET", "POST", ...; HEAD arrives as "GET", its body is never sent
  std::string path;    // percent-decoded, without the query
  std::string query;   // raw, without '?'
  std::vector<Header> headers;
  std::string body;
  std::string remote;                                    // "127.0.0.1:51234"
  std::string_view header(std::string_view name) const;  // case-insensitive; "" where absent
};

struct Response {
  int status = 200;
  std::string content_type = "application/json; charset=utf-8";
  std::vector<Header> headers;  // beside those the transport adds (date, length, CORS)
  std::string body;
};

// One exchange. Thread-safe: the engine's thread may write while the transport's reads. Calls after
// the client left are harmless. Either reply() once, or begin(), write()..., end().
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;

  virtual void reply(Response response) = 0;

  // Streaming: the head goes out at once, before any work. `keep_alive` is written verbatim whenever
  // nothing else was written for ServerOptions::stream_keep_alive (an SSE comment, a ping event).
  virtual void begin(Response head, std::string keep_alive) = 0;
  virtual bool write(std::string chunk) = 0;  // false once the client is gone or too slow (see limits)
  virtual void end() = 0;

  // Called at most once, on a transport thread, when the client leaves before the answer is complete;
  // at once, on the calling thread, when it has already left. Set it before starting work; reset by
  // passing {} (a call already under way is not waited for). `fn` must not own this exchange: an
  // exchange that is dropped unanswered becomes a 500, which a cycle would prevent.
  virtual void on_close(std::function<void()> fn) = 0;
};

// Called on a transport thread for each request whose body has arrived whole; must not block on the
// engine. An exception that escapes becomes a 500 with OpenAI's error object (and Anthropic's).
using Handler = std::function<void(std::shared_ptr<Exchange>)>;

}  // namespace moraine::http
