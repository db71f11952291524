// See test_client.h.
#include "server/http/test_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "server/http/http.h"

namespace moraine::http {
namespace {

constexpr int kPatienceS = 10;

}  // namespace

std::string ClientResponse::header(std::string_view name) const {
  std::size_t at = head.find("\r\n");
  while (at != std::string::npos && at + 2 < head.size()) {
    const std::size_t end = head.find("\r\n", at + 2);
    const std::string line = head.substr(at + 2, end - at - 2);
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos && equal_ignoring_case(line.substr(0, colon), name)) {
      return line.substr(colon + 2);
    }
    at = end;
  }
  return {};
}

Client::Client(std::uint16_t port, const char* address) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    size = sizeof v4;
  } else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    size = sizeof v6;
  }
  fd_ = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{kPatienceS, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&storage), size) != 0) close();
}

Client::~Client() { close(); }

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool Client::receive() {
  char buffer[64 * 1024];
  const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
  timed_out_ = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  if (n <= 0) return false;
  pending_.append(buffer, static_cast<std::size_t>(n));
  return true;
}

std::string Client::read_until(std::string_view text) {
  std::size_t at;
  while ((at = pending_.find(text)) == std::string::npos) {
    if (!receive()) return std::exchange(pending_, {});
  }
  std::string taken = pending_.substr(0, at + text.size());
  pending_.erase(0, taken.size());
  return taken;
}

std::optional<std::string> Client::read_to_end() {
  while (receive()) {
  }
  if (timed_out_) return std::nullopt;
  return std::exchange(pending_, {});
}

ClientResponse Client::read_response(bool to_head) {
  ClientResponse response;
  response.head = read_until("\r\n\r\n");
  if (response.head.size() < 12 || !response.head.ends_with("\r\n\r\n")) return response;
  response.status = std::atoi(response.head.c_str() + 9);
  if (to_head || response.status / 100 == 1 || response.status == 204 || response.status == 304) {
    response.complete = true;
    return response;
  }
  if (response.header("Transfer-Encoding") == "chunked") {
    for (;;) {
      const std::string line = read_until("\r\n");
      if (!line.ends_with("\r\n")) return response;
      const std::size_t size = std::strtoul(line.c_str(), nullptr, 16);
      while (pending_.size() < size + 2) {
        if (!receive()) return response;
      }
      response.body += pending_.substr(0, size);
      pending_.erase(0, size + 2);
      if (size == 0) break;
    }
  } else if (const std::string length = response.header("Content-Length"); !length.empty()) {
    const std::size_t size = std::strtoul(length.c_str(), nullptr, 10);
    while (pending_.size() < size) {
      if (!receive()) return response;
    }
    response.body = pending_.substr(0, size);
    pending_.erase(0, size);
  } else {
    const auto rest = read_to_end();
    if (!rest) return response;
    response.body = *rest;
  }
  response.complete = true;
  return response;
}

void Client::half_close() { ::shutdown(fd_, SHUT_WR); }

void Client::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Client::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

void Client::shrink_receive_buffer() {
  const int size = 4096;
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

}  // namespace moraine::http
