// An exchange without a socket: a request made by hand, an answer kept for the test to look at.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "server/http/http.h"

namespace moraine::server {

class FakeExchange : public http::Exchange {
 public:
  FakeExchange(std::string method, std::string path, std::string body = "",
               std::vector<http::Header> headers = {}) {
    request_.method = std::move(method);
    const std::size_t query = std::min(path.find('?'), path.size());
    request_.query = path.substr(std::min(path.size(), query + 1));
    request_.path = path.substr(0, query);
    request_.body = std::move(body);
    request_.headers = std::move(headers);
  }

  const http::Request& request() const override { return request_; }
  void reply(http::Response response) override {
    ++n_answers;
    head = std::move(response);
    body = head.body;
    ended = true;
  }
  void begin(http::Response response, std::string between) override {
    ++n_answers;
    keep_alive = std::move(between);
    head = std::move(response);
    streamed = true;
  }
  bool write(std::string chunk) override {
    if (left) return false;
    body += chunk;
    return true;
  }
  void end() override { ended = true; }
  void on_close(std::function<void()> fn) override { close_ = std::move(fn); }

  void leave() {  // the client goes away
    left = true;
    if (auto fn = std::exchange(close_, nullptr)) fn();
  }
  std::string header(std::string_view name) const {
    for (const auto& h : head.headers) {
      if (h.name == name) return h.value;
    }
    return "";
  }

  http::Response head;
  std::string body;
  std::string keep_alive;  // of a stream
  int n_answers = 0;       // reply() and begin() calls: 1 once it is answered
  bool streamed = false, left = false;
  std::atomic<bool> ended = false;  // what is above may then be read on another thread

 private:
  http::Request request_;
  std::function<void()> close_;
};

}  // namespace moraine::server
