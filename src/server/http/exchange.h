// An answer in the making: the handler's end is an Exchange, the connection's end is take(). The two
// meet under one mutex, so any thread may write. Knows no sockets: connection.h sends what it takes.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "server/http/http.h"

namespace moraine::http {

// What the handler produced since the last take().
struct Outgoing {
  std::optional<Response> head;  // reply()'s or begin()'s: at most once in an exchange
  bool streaming = false;        // begin() was called
  std::string keep_alive;        // begin()'s, beside `head`
  std::string bytes;             // of the stream
  bool complete = false;         // nothing follows
  bool broken = false;           // the answer cannot be completed: hang up
};

class PendingAnswer {
 public:
  // `wake` is called, under a lock and on any thread, when take() has something new to give: it must
  // only pass the word on. Writing is refused beyond `max_queued_bytes` that were not taken. `held` is
  // let go with the request.
  PendingAnswer(Request request, std::size_t max_queued_bytes, std::function<void()> wake,
                std::shared_ptr<void> held);

  // The connection's end.
  Outgoing take();
  bool overflowed() const;         // max_queued_bytes was reached: nothing more will be sent in time
  bool complete() const;           // the handler has nothing more to say
  void fail(std::string message);  // the handler threw: a 500, or a broken stream
  // The end of the exchange. Where the answer was not complete, the handler is told (on_close) and
  // true is returned, once. From here on `wake` is never called again.
  bool close();

  // The handler's end: what Exchange promises.
  const Request& request() const { return request_; }
  void reply(Response response);
  void begin(Response head, std::string keep_alive);
  bool write(std::string chunk);
  void end();
  void on_close(std::function<void()> fn);
  void abandon();  // the handler's end was destroyed

 private:
  enum class Stage { kUnanswered, kStreaming, kComplete };
  void wake_locked();

  const std::shared_ptr<void> held_;
  const Request request_;
  const std::size_t max_queued_bytes_;
  mutable std::mutex mutex_;
  std::function<void()> wake_;
  std::function<void()> on_close_;
  Outgoing outgoing_;
  Stage stage_ = Stage::kUnanswered;
  bool overflowed_ = false;
  bool wake_pending_ = false;  // many writes make one wake
  bool closed_ = false;
};

// The handler's end of `answer`. Dropped before the answer is complete, it becomes a 500.
std::shared_ptr<Exchange> make_exchange(std::shared_ptr<PendingAnswer> answer);

}  // namespace moraine::http
