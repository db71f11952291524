// HTTP as the hub needs it, on libcurl: one request at a time over a connection that stays open, never a
// redirect followed by itself, a key only to the address it belongs to, answers bounded. Retries and what an
// answer means are the callers': hub_client.h, download.h.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::hub {

struct TransferOptions {
  std::string user_agent;
  std::string ca_file;  // certificates to trust; empty: the system's, where distributions keep them
  std::chrono::milliseconds connect_timeout{20000};
  std::chrono::seconds stall_timeout{30};  // an answer that brings nothing for so long is given up
  const std::atomic<bool>* cancelled = nullptr;
};

struct ByteRange {
  uint64_t begin = 0, end = 0;  // [begin, end)
};

struct Response {
  int status = 0;       // 0: there was no answer
  std::string problem;  // why there was none, or why it broke off; empty: it came whole
  std::map<std::string, std::string, std::less<>> headers;  // names in lower case
  std::string body;  // empty where on_body took it; of a failure its beginning

  std::string_view header(std::string_view name) const;  // empty where missing
  bool ok() const { return problem.empty() && status >= 200 && status < 300; }
};

struct Request {
  std::string url;    // http or https
  std::string token;  // sent as a bearer; the caller made sure that `url` may see it
  std::optional<ByteRange> range;
  std::vector<std::string> headers;   // "Name: value", beside those that are always sent
  std::string body;                   // sent as a POST where not empty
  uint64_t max_body_bytes = 1 << 20;  // of a body that is collected
  // Before the first byte of a 2xx body: false breaks off; then `problem` is empty.
  std::function<bool(const Response&)> on_headers;
  std::function<bool(std::span<const std::byte>)> on_body;  // the same
};

class Connection {
 public:
  explicit Connection(const TransferOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Throws Error{kCancelled}; everything else that goes wrong is in the response.
  Response send(const Request& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Scheme, host and port: what decides whether two addresses are one party. Empty for what is no http address.
std::string origin_of(const std::string& url);
// `location` as an answer to `url` gives it, made absolute; empty where it leads away from http, or from
// https to plain http.
std::string redirect_target(const std::string& url, const std::string& location);

}  // namespace moraine::hub
