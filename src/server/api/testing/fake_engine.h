// An engine without a model, for tests of what is above it: each token of its vocabulary is one byte, its
// answers are scripted, and time moves only when the test calls step().
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace moraine::server {

inline constexpr TokenId kFakeStart = 256;  // <|im_start|>
inline constexpr TokenId kFakeEnd = 257;    // <|im_end|>, ends a turn
inline constexpr TokenId kFakeBos = 258;    // <|begin|>
inline constexpr TokenId kFakeThe = 259;    // "the": no text is encoded with it, but a model may draw it

std::shared_ptr<const Tokenizer> byte_tokenizer();
std::vector<TokenId> byte_tokens(std::string_view text);

struct FakeScript {
  std::vector<TokenId> tokens;  // drawn one after the other
  bool ends = true;             // after them the model ends its turn; else it repeats them
  std::optional<Error> error;   // in place of the end
};

class FakeEngine : public Engine {
 public:
  FakeEngine();

  // What a request is answered with; by default "Hello", whatever was asked.
  std::function<FakeScript(const GenerationRequest&)> script;
  std::optional<Error> refuse;  // generate() throws this
  bool immediate = false;       // generate() runs to the end before it returns: the rudest order of events
  int32_t n_waiting = 0;        // what stats() says
  int32_t n_cached = 0;         // of each prompt
  ModelInfo model_info;         // may be changed before use

  // One event for each running generation, in turn. False when nothing is left.
  bool step();
  void run() {
    while (step()) {
    }
  }
  std::vector<GenerationRequest> requests() const;  // all seen so far
  int n_cancelled() const;
  int n_running() const;

  const ModelInfo& info() const override { return model_info; }
  const MemoryEstimate& memory() const override { return memory_; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  EngineStats stats() const override;
  std::shared_ptr<Generation> generate(GenerationRequest request,
                                       std::shared_ptr<GenerationSink> sink) override;

 private:
  class Run;
  bool step(Run& run);

  const std::shared_ptr<const Tokenizer> tokenizer_;
  MemoryEstimate memory_;
  mutable std::mutex mutex_;  // never held while a sink is called
  std::vector<GenerationRequest> requests_;
  std::deque<std::shared_ptr<Run>> running_;
  EngineStats stats_;
  int n_cancelled_ = 0;
};

}  // namespace moraine::server
