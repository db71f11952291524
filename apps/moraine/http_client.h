// A small HTTP/1.1 client for servers on this machine or network: one request a connection, answers read as
// they come. Plain http alone. Blocking; for one thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace moraine::app {

struct HttpAnswer {
  int status = 0;         // 0: the connection ended before there was one
  std::string body;       // empty where on_body took it
  bool complete = false;  // the whole answer came
};

class HttpClient {
 public:
  // "http://host[:port][/path]"; a path goes before each request's. Throws Error{kInvalidArgument}.
  explicit HttpClient(const std::string& url, std::string api_key = "");

  struct Request {
    std::string method = "GET";
    std::string path;  // "/v1/models"
    std::string body;  // JSON; sent where not empty
    // Of a body as it comes, whatever the status; in place of HttpAnswer::body.
    std::function<void(std::string_view)> on_body;
    // Then we hang up, and the answer is not complete.
    std::optional<std::chrono::milliseconds> hang_up_after;
    int stop_fd = -1;  // the same as soon as this is readable
  };
  // Throws Error{kIo} where the server cannot be reached, hangs up without an answer, or talks no HTTP.
  HttpAnswer send(const Request& request) const;

  const std::string& url() const { return url_; }

 private:
  std::string url_, host_, port_, prefix_, api_key_;
};

}  // namespace moraine::app
