#include "http_client.h"

#include <fmt/format.h>
#include <moraine/error.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace moraine::app {
namespace {

namespace beast = boost::beast;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMaxAnswerBytes = 1ull << 30;
constexpr std::chrono::minutes kMostSilence{60};  // a long prompt on a slow machine says nothing meanwhile

struct Socket {
  explicit Socket(int fd) : fd(fd) {}
  Socket(Socket&& o) noexcept : fd(std::exchange(o.fd, -1)) {}
  ~Socket() {
    if (fd >= 0) close(fd);
  }
  int fd;
};

[[noreturn]] void fail(const std::string& url, const std::string& what) {
  throw Error(ErrorCode::kIo, fmt::format("{}: {}.", url, what));
}

Socket connect_to(const std::string& url, const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int e = getaddrinfo(host.c_str(), port.c_str(), &hints, &list); e != 0)
    fail(url, fmt::format("the host {} is not found ({})", host, gai_strerror(e)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(list, freeaddrinfo);
  std::string problem = "no address";
  for (const addrinfo* a = list; a; a = a->ai_next) {
    Socket s(socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (s.fd >= 0 && connect(s.fd, a->ai_addr, a->ai_addrlen) == 0) return s;
    problem = std::strerror(errno);
  }
  fail(url, fmt::format("no server answers there ({})", problem));
}

// Waits until the socket is ready; false: `until` has come, or stop_fd is readable.
bool wait(int fd, short events, Clock::time_point until, int stop_fd) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) return false;
    pollfd p[] = {{fd, events, 0}, {stop_fd, POLLIN, 0}};  // a negative descriptor is passed over
    const int n = poll(p, 2, static_cast<int>(std::min<int64_t>(left.count() + 1, 60'000)));
    if (n > 0) return p[1].revents == 0;
    if (n < 0 && errno != EINTR) return true;  // recv() will say what it is
  }
}

}  // namespace

HttpClient::HttpClient(const std::string& url, std::string api_key)
    : url_(url), api_key_(std::move(api_key)) {
  const auto refuse = [&](const char* why) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} is no address of a server: {}, such as http://127.0.0.1:8080.", url, why));
  };
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) refuse("it must begin with http://");
  for (const char c : url + api_key_)
    if (c <= ' ' || c == 0x7f) refuse("it and the key must be without blanks");
  std::string rest = url.substr(kScheme.size());
  if (const size_t slash = rest.find('/'); slash != std::string::npos) {
    prefix_ = rest.substr(slash);
    rest.resize(slash);
    while (prefix_.ends_with('/')) prefix_.pop_back();
  }
  if (prefix_.ends_with("/v1")) prefix_.resize(prefix_.size() - 3);  // as clients are told
  const size_t colon = rest.ends_with(']') ? std::string::npos : rest.rfind(':');
  port_ = colon == std::string::npos ? "80" : rest.substr(colon + 1);
  host_ = rest.substr(0, colon);
  if (host_.starts_with('[') && host_.ends_with(']')) host_ = host_.substr(1, host_.size() - 2);
  if (host_.empty() || port_.empty() || port_.find_first_not_of("0123456789") != std::string::npos)
    refuse("it must name a host and perhaps a port");
}

HttpAnswer HttpClient::send(const Request& r) const {
  const Clock::time_point hang_up =
      r.hang_up_after ? Clock::now() + *r.hang_up_after : Clock::time_point::max();
  const auto deadline = [&] { return std::min(hang_up, Clock::now() + kMostSilence); };
  const Socket s = connect_to(url_, host_, port_);

  std::string head =
      fmt::format("{} {}{} HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\nUser-Agent: moraine\r\n", r.method,
                  prefix_, r.path, host_, port_);
  if (!api_key_.empty()) head += fmt::format("Authorization: Bearer {}\r\n", api_key_);
  if (!r.body.empty())
    head += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", r.body.size());
  const std::string bytes = head + "\r\n" + r.body;
  for (size_t at = 0; at < bytes.size();) {
    if (!wait(s.fd, POLLOUT, deadline(), r.stop_fd)) return {};
    const ssize_t n = ::send(s.fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) break;  // the server may have answered already: it did not want the rest
    at += static_cast<size_t>(n);
  }

  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(kMaxAnswerBytes);
  parser.eager(true);
  HttpAnswer answer;
  const auto take = [&] {
    if (!parser.is_header_done()) return;
    answer.status = parser.get().result_int();
    std::string& body = parser.get().body();
    if (r.on_body && !body.empty()) r.on_body(body), body.clear();
  };
  std::string pending(64 << 10, '\0');
  size_t held = 0;
  while (!parser.is_done()) {
    if (!wait(s.fd, POLLIN, deadline(), r.stop_fd)) return answer;
    if (held == pending.size()) fail(url_, "the head of its answer is too long");
    const ssize_t n = recv(s.fd, pending.data() + held, pending.size() - held, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    beast::error_code e;
    if (n <= 0) {
      if (parser.got_some()) parser.put_eof(e);
      if (e || !parser.is_done()) {
        if (answer.status == 0) fail(url_, "the server hung up without an answer");
        return answer;
      }
      break;
    }
    held += static_cast<size_t>(n);
    while (held > 0 && !parser.is_done()) {
      const size_t used = parser.put(boost::asio::buffer(pending.data(), held), e);
      pending.erase(0, used);
      pending.resize(64 << 10);
      held -= used;
      if (e == beast::http::error::need_more) break;
      if (e) fail(url_, fmt::format("its answer is no HTTP ({})", e.message()));
    }
    take();
  }
  take();
  answer.complete = true;
  if (!r.on_body) answer.body = std::move(parser.get().body());
  return answer;
}

}  // namespace moraine::app
