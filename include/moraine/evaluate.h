// What a model makes of a given text: the log-probability of each of its tokens, all positions of a
// forward pass scored at once. For measuring models (perplexity); answering requests is engine.h.
// Not thread-safe: one call at a time. Nothing here prints or exits.
#pragma once

#include <moraine/engine.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace moraine {

class Evaluator {
 public:
  virtual ~Evaluator() = default;

  // As Engine::load. Of the options n_parallel and n_batch mean nothing; n_ctx bounds the tokens of a call.
  static std::unique_ptr<Evaluator> load(const EngineOptions& options, const ProgressFn& progress = {});

  virtual const ModelInfo& info() const = 0;
  virtual const MemoryEstimate& memory() const = 0;  // the logits of a step are part of `other`
  virtual std::shared_ptr<const Tokenizer> tokenizer() const = 0;

  // Called between forward passes with the number of tokens computed. Return false to stop (Error
  // kCancelled).
  using StepFn = std::function<bool(int32_t n_computed)>;

  // The natural log of p(tokens[i + 1] | tokens[0..i]), in nats, for i from `first` (>= 0) up to the last
  // but one: tokens.size() - 1 - first numbers, none where that is negative. Every call begins on an empty
  // context. By the numerics contract the same on any number of threads and with any n_ubatch.
  // Throws Error{kInvalidArgument}, {kContextOverflow}, {kOutOfMemory}, {kCancelled}.
  virtual std::vector<double> log_probs(std::span<const TokenId> tokens, int32_t first,
                                        const StepFn& on_step = {}) = 0;
};

}  // namespace moraine
