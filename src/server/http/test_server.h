// For tests: a server on a port of the system's choice, and a place where a handler leaves exchanges
// for the test's thread to answer.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>
#include <utility>

#include "server/http/server.h"

namespace moraine::http {

inline constexpr auto kPatience = std::chrono::seconds(10);

// Waits for what other threads bring about; false after kPatience.
inline bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// A handler that keeps each exchange until the test takes it.
class Inbox {
 public:
  Handler handler() {
    return [this](std::shared_ptr<Exchange> exchange) {
      std::lock_guard lock(mutex_);
      exchanges_.push(std::move(exchange));
      arrived_.notify_one();
    };
  }
  // Null after kPatience.
  std::shared_ptr<Exchange> take() {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, kPatience, [&] { return !exchanges_.empty(); })) return nullptr;
    auto exchange = std::move(exchanges_.front());
    exchanges_.pop();
    return exchange;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::queue<std::shared_ptr<Exchange>> exchanges_;
};

// Replies with method, path and body.
inline void echo(std::shared_ptr<Exchange> exchange) {
  const Request& request = exchange->request();
  exchange->reply(
      {.content_type = "text/plain", .body = request.method + " " + request.path + " " + request.body});
}

struct TestServer {
  explicit TestServer(Handler handler, ServerOptions options = {})
      : server(with_any_port(std::move(options)), std::move(handler)) {
    server.listen();
    server.start();
  }
  std::uint16_t port() const { return server.port(); }

  Server server;

 private:
  static ServerOptions with_any_port(ServerOptions options) {
    options.port = 0;
    return options;
  }
};

}  // namespace moraine::http
