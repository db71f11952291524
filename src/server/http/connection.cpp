// See connection.h.
#include "server/http/connection.h"

#include <algorithm>
#include <array>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

namespace moraine::http {

namespace asio = boost::asio;
using boost::system::error_code;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
// Progress that buys a slow body another body_timeout: a byte at a time must not last for ever.
constexpr std::size_t kBodyProgressBytes = 16 * 1024;
// A larger answer is sent behind its head, not copied to it.
constexpr std::size_t kCopiedBodyBytes = 64 * 1024;
// A client that sends nothing for so long after an early answer has read it, or never will.
constexpr auto kLingerSilence = 2s;

// A request's share of ConnectionContext::held_body_bytes, for as long as anybody has the request: a
// handler may keep it longer than its client stays.
class HeldBytes {
 public:
  HeldBytes(std::shared_ptr<std::atomic<std::size_t>> total, std::size_t bytes)
      : total_(std::move(total)), bytes_(bytes) {}
  ~HeldBytes() { *total_ -= bytes_; }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

 private:
  const std::shared_ptr<std::atomic<std::size_t>> total_;
  const std::size_t bytes_;
};

}  // namespace

Connection::Connection(ConnectionContext& context, Strand strand, std::unique_ptr<Stream> stream,
                       std::string remote, std::shared_ptr<void> registration,
                       std::optional<Refusal> turned_away)
    : registration_(std::move(registration)),
      context_(context),
      strand_(std::move(strand)),
      stream_(std::move(stream)),
      remote_(std::move(remote)),
      turned_away_(std::move(turned_away)),
      wake_(strand_),
      room_(strand_),
      watchdog_(strand_),
      // Room for a whole header and then some, so that the parser, not the buffer, refuses it.
      max_in_bytes_(context.options.max_header_bytes + 2 * kReadBytes) {}

Connection::~Connection() { end_exchange(); }

void Connection::start() {
  asio::co_spawn(strand_, session(), [self = shared_from_this()](std::exception_ptr) {
    self->client_left();  // both do nothing unless an exception (no memory) ended the session
    self->end_exchange();
    self->close_stream();
  });
}

void Connection::drain() {
  asio::post(strand_, [self = shared_from_this()] { self->wake(); });
}

void Connection::kill() {
  asio::post(strand_, [self = shared_from_this()] {
    self->client_left();
    self->close_stream();
  });
}

void Connection::wake() { wake_.cancel(); }

void Connection::close_stream() {
  closed_ = true;
  stream_->close();
  wake_.cancel();
  room_.cancel();
  watchdog_.cancel();
}

asio::awaitable<void> Connection::sleep_until(Clock::time_point deadline) {
  error_code ignored;
  wake_.expires_at(deadline);
  co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<void> Connection::pump() {
  std::array<char, kReadBytes> buffer;
  while (!closed_) {
    if (in_.size() >=
        max_in_bytes_) {  // pipelined more than we hold: blind to its leaving till there is room
      error_code ignored;
      room_.expires_at(Clock::time_point::max());
      co_await room_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      continue;
    }
    error_code error;
    const std::size_t n = co_await stream_->read_some(asio::buffer(buffer), error);
    context_.bytes_received += n;
    if (!discarding_) in_.append(buffer.data(), n);
    if (error) {
      eof_ = true;
      // Also a client that closed only its sending half: nobody can tell it from one that left, and
      // one that left must not keep the engine busy. An answer that is complete is still sent.
      if (answer_ && !answer_->complete()) {
        client_left();
        close_stream();
      }
    }
    wake();
    if (error) co_return;
  }
}

asio::awaitable<void> Connection::session() {
  error_code error;
  watchdog_.expires_after(context_.options.header_timeout);
  watchdog_.async_wait([self = shared_from_this()](error_code cancelled) {
    if (!cancelled) self->close_stream();
  });
  co_await stream_->handshake(error);
  watchdog_.cancel();
  if (error || closed_) co_return;
  asio::co_spawn(strand_, pump(), [self = shared_from_this()](std::exception_ptr failure) {
    if (!failure) return;
    self->client_left();
    self->close_stream();
  });

  if (turned_away_) {
    unclean_ = true;
    co_await send_error(*turned_away_, {});
    co_await hang_up();
    co_return;
  }
  for (bool first = true, again = true; again; first = false) {
    RequestParser parser({context_.options.max_header_bytes, context_.options.max_body_bytes});
    const ReadResult result = co_await read_request(parser, first);
    again = false;
    if (result == ReadResult::kReady) {
      again = co_await serve(parser);
    } else if (result == ReadResult::kRefused) {
      unclean_ = true;
      ++context_.refused_requests;
      const std::string origin(parser.header("origin"));
      parser.take_request();  // a refused body holds no memory while its client reads the answer
      release_body();
      co_await send_error(parser.refusal(), origin);
    }
    release_body();
  }
  co_await hang_up();
}

asio::awaitable<Connection::ReadResult> Connection::read_request(RequestParser& parser, bool first) {
  const ServerOptions& options = context_.options;
  using State = RequestParser::State;
  auto deadline = Clock::now() + (first ? options.header_timeout : options.idle_timeout);
  bool started = false;
  bool in_body = false;
  std::size_t progress_mark = 0;
  for (;;) {
    const std::size_t used = parser.feed(in_);
    if (used > 0) {
      in_.erase(0, used);
      room_.cancel();
    }
    if (!hold_body(parser.body_bytes())) {
      parser.refuse({503, "too_many_bytes", "The server holds too many request bodies; try again later."});
    }
    if (parser.state() == State::kDone) co_return ReadResult::kReady;
    if (parser.state() == State::kRefused) co_return ReadResult::kRefused;
    if (!started && parser.started()) {
      started = true;
      deadline = Clock::now() + options.header_timeout;
    }
    if (parser.state() == State::kBody) {
      if (!in_body && parser.expects_continue() && in_.empty()) {
        const bool sent = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
        if (!sent) co_return ReadResult::kClosed;
      }
      if (!in_body || parser.body_bytes() >= progress_mark + kBodyProgressBytes) {
        progress_mark = parser.body_bytes();
        deadline = Clock::now() + options.body_timeout;
      }
      in_body = true;
    }
    if (used > 0 && !in_.empty()) continue;
    if (in_.size() >= max_in_bytes_) {  // a chunk extension or trailer without end
      parser.refuse({431, "headers_too_large", "The request's chunk extensions or trailers are too long."});
      co_return ReadResult::kRefused;
    }
    if (eof_ || closed_) co_return ReadResult::kClosed;
    if (!started && context_.draining) co_return ReadResult::kClosed;
    if (Clock::now() >= deadline) {
      if (!started) co_return ReadResult::kClosed;
      parser.refuse({408, in_body ? "body_timeout" : "header_timeout",
                     in_body ? "The rest of the request body took too long to arrive."
                             : "The rest of the request's header took too long to arrive."});
      co_return ReadResult::kRefused;
    }
    co_await sleep_until(deadline);
  }
}

asio::awaitable<bool> Connection::serve(RequestParser& parser) {
  const std::string origin(parser.header("origin"));
  Request request = parser.take_request();
  request.remote = remote_;
  if (request.method == "OPTIONS") {
    const Response response = preflight_response(request.header("access-control-request-headers"));
    const bool keep_alive = parser.keep_alive() && !context_.draining;
    const std::string head =
        format_head(response, {.http10 = parser.http10(), .keep_alive = keep_alive, .origin = origin});
    const bool sent = co_await send(head);
    co_return sent&& keep_alive;
  }
  call_handler(std::move(request));
  const bool again = co_await send_answer(parser, origin);
  if (!again && !answer_->complete()) client_left();
  end_exchange();
  co_return again;
}

void Connection::call_handler(Request request) {
  ++context_.requests;
  ++context_.open_exchanges;
  // Weak: the answer outlives the connection where the handler keeps its end.
  auto tell_connection = [weak = weak_from_this()] {
    if (auto self = weak.lock()) asio::post(self->strand_, [self] { self->answer_changed(); });
  };
  auto held = std::make_shared<HeldBytes>(context_.held_body_bytes, body_bytes_);
  body_bytes_ = 0;  // the token's from here on
  answer_ = std::make_shared<PendingAnswer>(std::move(request), context_.options.max_queued_bytes,
                                            std::move(tell_connection), std::move(held));
  auto exchange = make_exchange(answer_);
  try {
    context_.handler(exchange);
  } catch (const std::exception& failure) {
    answer_->fail(std::string("The server failed at this request: ") + failure.what());
  } catch (...) {
    answer_->fail("The server failed at this request.");
  }
}

// Sends what the handler says until it is complete. False: the connection must be closed.
asio::awaitable<bool> Connection::send_answer(const RequestParser& parser, const std::string& origin) {
  bool with_body = !parser.head_only();
  HeadOptions head_options{.http10 = parser.http10(), .origin = origin};
  std::string keep_alive_text;
  auto next_keep_alive = Clock::time_point::max();
  const auto framed = [&](std::string_view bytes) {
    if (!with_body || bytes.empty()) return std::string();
    return head_options.framing == Framing::kChunked ? format_chunk(bytes) : std::string(bytes);
  };
  for (;;) {
    if (eof_ && !answer_->complete()) co_return false;  // it had left before the handler was called
    Outgoing outgoing = answer_->take();
    if (outgoing.broken || closed_) co_return false;

    std::string bytes;
    std::string large_body;
    if (outgoing.head) {
      Response& head = *outgoing.head;
      with_body = with_body && !has_no_body(head.status);
      if (outgoing.streaming) {
        head_options.framing = parser.http10() ? Framing::kUntilClose : Framing::kChunked;
        keep_alive_text = std::move(outgoing.keep_alive);
      }
      head_options.keep_alive =
          parser.keep_alive() && !context_.draining && head_options.framing != Framing::kUntilClose;
      bytes = format_head(head, head_options);
      if (with_body && head.body.size() > kCopiedBodyBytes) {
        large_body = std::move(head.body);
      } else if (with_body) {
        bytes += head.body;
      }
    }
    bytes += framed(outgoing.bytes);
    if (outgoing.complete && with_body && head_options.framing == Framing::kChunked) bytes += kLastChunk;
    if (bytes.empty() && !outgoing.complete && Clock::now() >= next_keep_alive) {
      bytes = framed(keep_alive_text);
    }
    if (!bytes.empty()) {
      const bool sent = co_await send(bytes);
      if (!sent) co_return false;
      if (!large_body.empty()) {
        const bool body_sent = co_await send(large_body);
        if (!body_sent) co_return false;
      }
    }
    if (outgoing.complete) co_return head_options.keep_alive;
    if (!bytes.empty()) {
      if (!keep_alive_text.empty() && with_body) {
        next_keep_alive = Clock::now() + context_.options.stream_keep_alive;
      }
      continue;  // more may have come while this was being sent
    }
    co_await sleep_until(next_keep_alive);
  }
}

asio::awaitable<void> Connection::send_error(const Refusal& refusal, const std::string& origin) {
  Response response = error_response(refusal);
  if (refusal.status == 503) response.headers.push_back({"Retry-After", "1"});
  const std::string bytes = format_head(response, {.keep_alive = false, .origin = origin}) + response.body;
  co_await send(bytes);
}

asio::awaitable<bool> Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    if (closed_) co_return false;
    watchdog_.expires_after(context_.options.write_timeout);
    watchdog_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (cancelled) return;
      self->stream_->abort();
      self->close_stream();
    });
    error_code error;
    const std::size_t n = co_await stream_->write_some(asio::buffer(bytes.data(), bytes.size()), error);
    watchdog_.cancel();
    context_.bytes_sent += n;
    if (error) {
      close_stream();
      co_return false;
    }
    bytes.remove_prefix(n);
  }
  co_return true;
}

asio::awaitable<void> Connection::hang_up() {
  if (!closed_) {
    discarding_ = true;
    unclean_ = unclean_ || !in_.empty();
    in_.clear();
    room_.cancel();
    watchdog_.expires_after(kLingerSilence);
    watchdog_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled) self->close_stream();
    });
    co_await stream_->finish_sending();
    watchdog_.cancel();
  }
  const auto end = Clock::now() + context_.options.linger_timeout;
  while (unclean_ && !eof_ && !closed_) {
    const auto silence = std::min<Clock::time_point>(end, Clock::now() + kLingerSilence);
    co_await sleep_until(silence);  // pump() wakes it for each arrival
    if (Clock::now() >= silence) break;
  }
  close_stream();
}

// Counts the request's body against what the server holds in all. False where that is too much.
bool Connection::hold_body(std::size_t bytes) {
  *context_.held_body_bytes += bytes - body_bytes_;
  body_bytes_ = bytes;
  return *context_.held_body_bytes <= context_.options.max_total_body_bytes;
}

void Connection::release_body() {
  *context_.held_body_bytes -= body_bytes_;
  body_bytes_ = 0;
}

void Connection::end_exchange() {
  release_body();
  if (!answer_) return;
  --context_.open_exchanges;
  std::exchange(answer_, nullptr)->close();
}

void Connection::answer_changed() {
  wake();
  if (!answer_ || !answer_->overflowed()) return;
  // session() is most likely stuck in a write to this slow reader: it cannot see for itself.
  client_left();
  stream_->abort();
  close_stream();
}

void Connection::client_left() {
  if (answer_ && !answer_->complete() && answer_->close()) ++context_.lost_clients;
}

}  // namespace moraine::http
