// Test support: a sink that keeps a generation's events, and requests to send.
#pragma once

#include <gtest/gtest.h>
#include <moraine/engine.h>

#include <condition_variable>
#include <mutex>

namespace moraine::testing {

// Collects everything and lets a test wait for the end.
class Collector final : public GenerationSink {
 public:
  void on_prompt_progress(int32_t processed, int32_t total, int32_t) override {
    std::lock_guard lock(mutex_);
    progress.emplace_back(processed, total);
    changed_.notify_all();
  }
  void on_token(const TokenEvent& e) override {
    std::lock_guard lock(mutex_);
    tokens.push_back(e.id);
    events.push_back(e);
    changed_.notify_all();
  }
  void on_finish(FinishReason r, const GenerationStats& s) override {
    std::lock_guard lock(mutex_);
    reason = r, stats = s, ++ends;
    changed_.notify_all();
  }
  void on_error(const Error& e) override {
    std::lock_guard lock(mutex_);
    error = e.code(), ++ends;
    changed_.notify_all();
  }
  template <class Condition>
  bool wait_until(Condition&& c) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(240), c);
  }
  bool wait() {
    return wait_until([&] { return ends > 0; });
  }

  std::vector<std::pair<int, int>> progress;
  std::vector<TokenId> tokens;
  std::vector<TokenEvent> events;
  FinishReason reason = FinishReason::kStop;
  GenerationStats stats;
  std::optional<ErrorCode> error;
  int ends = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

inline GenerationRequest greedy(std::vector<TokenId> prompt, int max_tokens) {
  GenerationRequest r;
  r.prompt = std::move(prompt);
  r.sampling.temperature = 0;
  r.sampling.ignore_eos = true;
  r.max_tokens = max_tokens;
  return r;
}

inline std::vector<TokenId> run(Engine& e, GenerationRequest r) {
  auto c = std::make_shared<Collector>();
  e.generate(std::move(r), c);
  EXPECT_TRUE(c->wait());
  EXPECT_FALSE(c->error);
  return c->tokens;
}

inline std::vector<TokenId> counting(int n, int step = 7) {
  std::vector<TokenId> t;
  for (int i = 0; i < n; ++i) t.push_back(300 + i * step % 150);
  return t;
}

}  // namespace moraine::testing
