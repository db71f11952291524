// One client's connection, from accept to close: request after request, each read, handed to the
// handler, answered. Two coroutines on one strand:
//   pump()   always reads, also while an answer is in the making: so it sees the client leave in the
//            middle of a prefill, and what a client pipelines stays whole in in_;
//   session() does everything else, and sleeps on wake_ until there is input, output or a deadline.
// All members but the thread-safe three are for the strand alone.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/exchange.h"
#include "server/http/format.h"
#include "server/http/parser.h"
#include "server/http/server.h"
#include "server/http/stream.h"

namespace moraine::http {

// What the connections of one server share; outlives them all.
struct ConnectionContext {
  ServerOptions options;
  Handler handler;
  std::atomic<bool> draining{false};
  // Shared with the requests counted in it: handlers may hold one beyond the server's end.
  const std::shared_ptr<std::atomic<std::size_t>> held_body_bytes =
      std::make_shared<std::atomic<std::size_t>>(0);

  // ServerStats, written by many threads.
  std::atomic<std::size_t> open_exchanges{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> refused_requests{0};
  std::atomic<std::uint64_t> lost_clients{0};
  std::atomic<std::uint64_t> bytes_received{0};
  std::atomic<std::uint64_t> bytes_sent{0};
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;

  // `registration` is destroyed when nothing of the connection is left. With `turned_away` the
  // connection serves nothing: it says why and closes.
  Connection(ConnectionContext& context, Strand strand, std::unique_ptr<Stream> stream, std::string remote,
             std::shared_ptr<void> registration, std::optional<Refusal> turned_away);
  ~Connection();

  // Thread-safe.
  void start();
  void drain();  // context.draining was set: look at it
  void kill();

 private:
  using Clock = std::chrono::steady_clock;
  template <typename T>
  using Awaitable = boost::asio::awaitable<T>;
  enum class ReadResult { kReady, kRefused, kClosed };

  Awaitable<void> pump();
  Awaitable<void> session();
  Awaitable<ReadResult> read_request(RequestParser& parser, bool first);
  Awaitable<bool> serve(RequestParser& parser);  // true: the connection may serve another request
  Awaitable<bool> send_answer(const RequestParser& parser, const std::string& origin);
  Awaitable<void> send_error(const Refusal& refusal, const std::string& origin);
  Awaitable<void> hang_up();
  Awaitable<bool> send(std::string_view bytes);
  Awaitable<void> sleep_until(Clock::time_point deadline);

  void call_handler(Request request);
  bool hold_body(std::size_t bytes);
  void release_body();
  void end_exchange();
  void client_left();
  void answer_changed();
  void close_stream();
  void wake();

  const std::shared_ptr<void> registration_;  // first member: destroyed last
  ConnectionContext& context_;
  const Strand strand_;
  const std::unique_ptr<Stream> stream_;
  const std::string remote_;
  const std::optional<Refusal> turned_away_;

  boost::asio::steady_timer wake_;      // session() sleeps here
  boost::asio::steady_timer room_;      // pump() sleeps here while in_ is full
  boost::asio::steady_timer watchdog_;  // closes the stream under an operation that takes too long
  std::string in_;                      // received, not yet parsed
  std::size_t max_in_bytes_;
  bool eof_ = false;                       // nothing more will be received
  bool closed_ = false;                    // the stream is closed
  bool discarding_ = false;                // what arrives is of no interest (see linger_timeout)
  bool unclean_ = false;                   // the client may still be sending
  std::shared_ptr<PendingAnswer> answer_;  // of the exchange under way
  std::size_t body_bytes_ =
      0;  // of its request, counted in context_.held_body_bytes until the handler has it
};

}  // namespace moraine::http
