#include "generation.h"

#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace moraine::app {
namespace {

class Queue final : public GenerationSink {
 public:
  void on_token(const TokenEvent& event) override {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    arrived.raise();
  }
  void on_finish(FinishReason reason, const GenerationStats& stats) override {
    const std::lock_guard lock(mutex_);
    outcome_ = Outcome{reason, stats, false};
    arrived.raise();
  }
  void on_error(const Error& error) override {
    const std::lock_guard lock(mutex_);
    error_ = error;
    arrived.raise();
  }

  struct Taken {
    std::vector<TokenEvent> events;
    std::optional<Outcome> outcome;
    std::optional<Error> error;
  };
  Taken take() {
    const std::lock_guard lock(mutex_);
    arrived.clear();
    return {std::exchange(events_, {}), outcome_, error_};
  }

  Event arrived;

 private:
  std::mutex mutex_;
  std::vector<TokenEvent> events_;
  std::optional<Outcome> outcome_;
  std::optional<Error> error_;
};

}  // namespace

Outcome generate(Engine& engine, GenerationRequest request, Signals& signals,
                 const std::function<void(const TokenEvent&)>& on_token) {
  const auto queue = std::make_shared<Queue>();
  const auto generation = engine.generate(std::move(request), queue);
  for (bool interrupted = false;;) {
    wait_readable({queue->arrived.fd(), signals.fd()});
    if (signals.take()) {
      interrupted = true;
      generation->cancel();
    }
    const Queue::Taken taken = queue->take();
    if (on_token && !interrupted)
      for (const TokenEvent& event : taken.events) on_token(event);
    if (taken.error) throw *taken.error;
    if (taken.outcome) {
      Outcome outcome = *taken.outcome;
      outcome.interrupted = interrupted;
      return outcome;
    }
  }
}

}  // namespace moraine::app
