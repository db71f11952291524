// For tests: a client that says exactly what it is told, byte for byte, and never waits longer than
// ten seconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moraine::http {

struct ClientResponse {
  int status = 0;    // 0: the connection ended or fell silent before a whole answer
  std::string head;  // status line and headers
  std::string body;  // chunks joined
  bool complete = false;
  std::string header(std::string_view name) const;
};

class Client {
 public:
  explicit Client(std::uint16_t port, const char* address = "127.0.0.1");
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return fd_ >= 0; }
  bool send(std::string_view bytes);  // false once the server has closed
  // The next answer on the connection; interim answers (1xx) are answers of their own.
  ClientResponse read_response(bool to_head = false);
  // Everything up to `text`, or to the end of the connection.
  std::string read_until(std::string_view text);
  // What is left before the server closes; nothing where it does not close.
  std::optional<std::string> read_to_end();
  void half_close();
  void close();
  void reset();  // RST instead of FIN
  void shrink_receive_buffer();

 private:
  bool receive();  // more into pending_; false at the end
  int fd_ = -1;
  std::string pending_;
  bool timed_out_ = false;
};

}  // namespace moraine::http
