// The transport: owns the listening sockets, the connections and their threads, the limits and the
// time-outs. Knows no endpoint: every request goes to one Handler (http.h). Next: connection.h, how
// one connection lives; parser.h, what a request may look like.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "server/http/http.h"

namespace moraine::http {

struct ServerOptions {
  // "localhost" listens on each address it stands for; "::" on IPv6 and IPv4, "0.0.0.0" on IPv4.
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;  // 0 lets the system choose; see Server::port()
  std::size_t n_threads = 2;

  // PEM files; both or neither.
  std::string tls_certificate_path;
  std::string tls_key_path;

  // What a client may make the server hold. Beyond: 431, 413, 503.
  std::size_t max_header_bytes = 64 * 1024;
  std::size_t max_body_bytes = 64 * 1024 * 1024;
  std::size_t max_total_body_bytes = 1024 * 1024 * 1024;  // of all requests that arrive or that a handler has
  std::size_t max_connections = 512;
  std::size_t max_connections_per_address = 0;  // 0: no limit of its own (a proxy is one address)
  // Of a stream whose reader is slow, beside one batch of at most the same size being sent. Beyond,
  // the connection is closed and write() returns false.
  std::size_t max_queued_bytes = 8 * 1024 * 1024;

  // What a client may make the server wait for. The first byte of a request starts its header's time.
  std::chrono::milliseconds header_timeout = std::chrono::seconds(30);
  std::chrono::milliseconds body_timeout = std::chrono::seconds(30);   // for each 16 KiB of progress
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(75);   // between requests
  std::chrono::milliseconds write_timeout = std::chrono::seconds(60);  // for any progress of the reader
  // After an early answer (413, 400) the client may still be sending: its bytes are read and dropped
  // for so long, because closing at once would make the client's system discard the answer.
  std::chrono::milliseconds linger_timeout = std::chrono::seconds(30);

  // Silence after which a stream gets its keep-alive text (Exchange::begin).
  std::chrono::milliseconds stream_keep_alive = std::chrono::seconds(10);
};

// Counted since the server was made.
struct ServerStats {
  std::size_t open_connections = 0;  // now
  std::size_t open_exchanges = 0;    // now: requests with the handler that are not answered in full
  std::uint64_t accepted_connections = 0;
  std::uint64_t refused_connections = 0;  // 503: too many
  std::uint64_t requests = 0;             // given to the handler
  std::uint64_t refused_requests = 0;     // answered by the transport: 400, 408, 413, ...
  std::uint64_t lost_clients = 0;         // left, or were cut off, before the answer was complete
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
};

// listen(), start(), then drain() and/or stop(): in this order, by one thread at a time. None of
// them may be called by a handler.
class Server {
 public:
  Server(ServerOptions options, Handler handler);
  ~Server();  // stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds; connections queue in the system until start(). Throws Error{kIo} naming address, cause
  // and remedy, Error{kInvalidArgument} for options that contradict each other.
  void listen();
  // The port bound: the one asked for, or the system's choice.
  std::uint16_t port() const;
  // Serves on threads of its own; returns at once.
  void start();

  // Accepts nothing more, closes idle connections, and waits until the exchanges under way are
  // complete. Those that are not after `deadline` are cut off, and their handlers told (on_close).
  // Returns true where none was cut off.
  bool drain(std::chrono::milliseconds deadline);
  // Cuts off what is left and ends the threads. Exchanges still held elsewhere stay safe to call.
  void stop();

  ServerStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moraine::http
