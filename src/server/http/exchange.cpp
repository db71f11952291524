// See exchange.h: one mutex between the thread that makes an answer and the one that sends it.
#include "server/http/exchange.h"

#include <utility>

#include "server/http/format.h"

namespace moraine::http {
namespace {

class HandlerEnd final : public Exchange {
 public:
  explicit HandlerEnd(std::shared_ptr<PendingAnswer> answer) : answer_(std::move(answer)) {}
  ~HandlerEnd() override { answer_->abandon(); }
  HandlerEnd(const HandlerEnd&) = delete;
  HandlerEnd& operator=(const HandlerEnd&) = delete;

  const Request& request() const override { return answer_->request(); }
  void reply(Response response) override { answer_->reply(std::move(response)); }
  void begin(Response head, std::string keep_alive) override {
    answer_->begin(std::move(head), std::move(keep_alive));
  }
  bool write(std::string chunk) override { return answer_->write(std::move(chunk)); }
  void end() override { answer_->end(); }
  void on_close(std::function<void()> fn) override { answer_->on_close(std::move(fn)); }

 private:
  const std::shared_ptr<PendingAnswer> answer_;
};

}  // namespace

PendingAnswer::PendingAnswer(Request request, std::size_t max_queued_bytes, std::function<void()> wake,
                             std::shared_ptr<void> held)
    : held_(std::move(held)),
      request_(std::move(request)),
      max_queued_bytes_(max_queued_bytes),
      wake_(std::move(wake)) {}

Outgoing PendingAnswer::take() {
  std::lock_guard lock(mutex_);
  wake_pending_ = false;
  Outgoing taken = std::move(outgoing_);
  outgoing_ = {};
  outgoing_.streaming = taken.streaming;
  outgoing_.complete = taken.complete;
  outgoing_.broken = taken.broken;
  return taken;
}

bool PendingAnswer::overflowed() const {
  std::lock_guard lock(mutex_);
  return overflowed_;
}

bool PendingAnswer::complete() const {
  std::lock_guard lock(mutex_);
  return stage_ == Stage::kComplete;
}

bool PendingAnswer::close() {
  std::function<void()> tell;
  bool incomplete = false;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    closed_ = true;
    wake_ = {};
    outgoing_ = {};
    incomplete = stage_ != Stage::kComplete;
    tell.swap(on_close_);
  }
  if (!incomplete || !tell) return incomplete;
  try {
    tell();  // outside the lock: it may call write() or drop the exchange
  } catch (...) {
    // It was told; a connection that ends has nobody to pass its exception to.
  }
  return true;
}

void PendingAnswer::reply(Response response) {
  std::function<void()> forgotten;  // destroyed outside the lock, as it may own anything
  std::lock_guard lock(mutex_);
  if (closed_ || stage_ != Stage::kUnanswered) return;
  stage_ = Stage::kComplete;
  forgotten.swap(on_close_);
  outgoing_.head = std::move(response);
  outgoing_.complete = true;
  wake_locked();
}

void PendingAnswer::begin(Response head, std::string keep_alive) {
  std::lock_guard lock(mutex_);
  if (closed_ || stage_ != Stage::kUnanswered) return;
  stage_ = Stage::kStreaming;
  outgoing_.bytes = std::move(head.body);
  head.body.clear();
  outgoing_.head = std::move(head);
  outgoing_.streaming = true;
  outgoing_.keep_alive = std::move(keep_alive);
  wake_locked();
}

bool PendingAnswer::write(std::string chunk) {
  std::lock_guard lock(mutex_);
  if (closed_ || outgoing_.broken || stage_ != Stage::kStreaming) return false;
  if (outgoing_.bytes.size() + chunk.size() > max_queued_bytes_) {
    outgoing_.broken = true;
    overflowed_ = true;
    wake_pending_ = false;  // the last wake may have found the connection stuck in a write
    wake_locked();
    return false;
  }
  if (outgoing_.bytes.empty()) {
    outgoing_.bytes = std::move(chunk);
  } else {
    outgoing_.bytes += chunk;
  }
  if (!outgoing_.bytes.empty()) wake_locked();
  return true;
}

void PendingAnswer::end() {
  std::function<void()> forgotten;
  std::lock_guard lock(mutex_);
  if (closed_ || stage_ != Stage::kStreaming) return;
  stage_ = Stage::kComplete;
  forgotten.swap(on_close_);
  outgoing_.complete = true;
  wake_locked();
}

void PendingAnswer::on_close(std::function<void()> fn) {
  {
    std::lock_guard lock(mutex_);
    if (stage_ == Stage::kComplete) return;
    if (!closed_) {
      on_close_.swap(fn);  // the old one is destroyed by the caller's thread, outside the lock
      return;
    }
  }
  if (fn) fn();
}

void PendingAnswer::fail(std::string message) {
  Response response = error_response({500, "internal_error", std::move(message)});
  std::function<void()> forgotten;
  std::lock_guard lock(mutex_);
  if (closed_ || stage_ == Stage::kComplete) return;
  if (stage_ == Stage::kStreaming) {
    outgoing_.broken = true;  // an error object in the middle of a stream would read as its text
  } else {
    stage_ = Stage::kComplete;
    forgotten.swap(on_close_);
    outgoing_.head = std::move(response);
    outgoing_.complete = true;
  }
  wake_locked();
}

void PendingAnswer::abandon() { fail("The server gave up on this request without an answer."); }

void PendingAnswer::wake_locked() {
  if (wake_pending_ || !wake_) return;
  wake_pending_ = true;
  wake_();
}

std::shared_ptr<Exchange> make_exchange(std::shared_ptr<PendingAnswer> answer) {
  return std::make_shared<HandlerEnd>(std::move(answer));
}

}  // namespace moraine::http
