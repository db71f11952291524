// Scores given tokens: one sequence at a time through the plan, on the caller's thread. Shares with the
// engine what a loaded model is (prepared.h) and nothing of its scheduling.
#include <moraine/evaluate.h>
#include <moraine/tokenizer.h>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/thread_pool.h"
#include "cache/timeline.h"
#include "engine/devices.h"
#include "engine/model_info.h"
#include "engine/prepared.h"
#include "sampling/sampler.h"
#include "tokenizer/load.h"

namespace moraine {
namespace engine {
namespace {

// Rows of logits of one forward pass: enough for a weight read to serve many rows, and 78 MB with a
// vocabulary of 152 thousand.
constexpr int32_t kMaxOutputs = 128;

EngineOptions for_one_sequence(EngineOptions o) {
  check_options(o);
  o.n_parallel = 1;
  o.n_batch = o.n_ubatch;
  return o;
}

class EvaluatorImpl final : public Evaluator {
 public:
  EvaluatorImpl(const EngineOptions& options, const ProgressFn& progress)
      : options_(for_one_sequence(options)),
        prepared_(options_, std::min(kMaxOutputs, options_.n_ubatch)),
        tokenizer_(load_tokenizer(prepared_.file.metadata())),
        info_(describe_model(prepared_.file, *prepared_.model, options_.model_path)),
        pool_(*prepared_.backend),
        stride_(plan::row_stride(prepared_.model->n_vocab())),
        threads_(n_threads(options_)) {
    prepared_.load(options_, info_.file_name, progress);
    pool_.set_max_bytes(pool_.bytes_for(prepared_.memory.n_ctx));
    info_.n_ctx = prepared_.memory.n_ctx;
    info_.n_parallel = 1;
    info_.device = prepared_.device();
    info_.n_threads = n_threads(options_);
    if (!prepared_.device_note.empty()) info_.notes.push_back(prepared_.device_note);
    logits_.reset(new float[static_cast<size_t>(stride_) * prepared_.max_outputs]);
  }

  const ModelInfo& info() const override { return info_; }
  const MemoryEstimate& memory() const override { return prepared_.memory; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  std::vector<double> log_probs(std::span<const TokenId> tokens, int32_t first,
                                const StepFn& on_step) override;

 private:
  void check(std::span<const TokenId> tokens, int32_t first) const;
  void forward(std::span<const TokenId> tokens, int32_t begin, int32_t n, bool wants_logits,
               cache::Timeline& memory);

  EngineOptions options_;
  Prepared prepared_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ModelInfo info_;
  cache::MemoryPool pool_;
  int64_t stride_;
  std::unique_ptr<float[]> logits_;
  ThreadPool threads_;
};

void EvaluatorImpl::check(std::span<const TokenId> tokens, int32_t first) const {
  if (first < 0) throw Error(ErrorCode::kInvalidArgument, "The first scored position must not be negative.");
  if (tokens.size() > static_cast<size_t>(info_.n_ctx))
    throw Error(ErrorCode::kContextOverflow,
                fmt::format("The text has {} tokens, and the context only {}.", tokens.size(), info_.n_ctx));
  const auto n_vocab = prepared_.model->n_vocab();
  for (TokenId t : tokens)
    if (t < 0 || t >= n_vocab)
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("Token {} is not in the vocabulary: ids go from 0 to {}.", t, n_vocab - 1));
}

Error no_memory() {
  return Error(ErrorCode::kOutOfMemory,
               "There is no memory for this many tokens; use a smaller context (-c).");
}

// Computes rows [begin, begin + n) of the sequence, and the logits of all of them or of none.
void EvaluatorImpl::forward(std::span<const TokenId> tokens, int32_t begin, int32_t n, bool wants_logits,
                            cache::Timeline& memory) {
  if (!memory.grow_to(begin + n)) throw no_memory();
  std::vector<int32_t> positions(n), sequences(n, 0), outputs(wants_logits ? n : 0);
  std::iota(positions.begin(), positions.end(), begin);
  std::iota(outputs.begin(), outputs.end(), 0);
  const std::span<const plan::PageId> pages = memory.pages();
  const plan::StateId state = memory.state();
  const plan::Step step{tokens.subspan(begin, n), positions, sequences, outputs, {&pages, 1},
                        {&state, size_t{1}}};
  switch (prepared_.executable->submit(step, logits_.get(), stride_)) {
    case plan::Status::kOk:
      return;
    case plan::Status::kOutOfMemory:
      throw Error(ErrorCode::kOutOfMemory, "The device ran out of memory; use a smaller context (-c).");
    default:
      throw Error(ErrorCode::kDeviceLost, "The device was lost; the text can be scored again.");
  }
}

std::vector<double> EvaluatorImpl::log_probs(std::span<const TokenId> tokens, int32_t first,
                                             const StepFn& on_step) {
  check(tokens, first);
  const auto n_rows = static_cast<int32_t>(tokens.size()) - 1;  // nothing is asked of the last token's row
  if (n_rows <= first) return {};
  cache::PrefixTree tree(pool_);  // empty: each text is computed anew
  cache::Timeline memory(pool_, tree, 0);
  if (memory.begin(tokens) < 0) throw no_memory();
  std::vector<double> scores(n_rows - first);
  const auto n_vocab = static_cast<size_t>(prepared_.model->n_vocab());
  for (int32_t begin = 0; begin < n_rows;) {
    const bool scored = begin >= first;
    const int32_t n =
        scored ? std::min(prepared_.max_outputs, n_rows - begin) : std::min(options_.n_ubatch, first - begin);
    forward(tokens, begin, n, scored, memory);
    if (scored) {
      // A row each: a sum over the vocabulary takes as long as a small model's layer.
      threads_.run(n, [&](int row, int) {
        const std::span<const float> logits(logits_.get() + row * stride_, n_vocab);
        const int32_t at = begin + row;
        scores[at - first] = logits[tokens[at + 1]] - sampling::log_sum_exp(logits);
      });
    }
    begin += n;
    if (on_step && !on_step(begin)) throw Error(ErrorCode::kCancelled, "Interrupted.");
  }
  return scores;
}

}  // namespace
}  // namespace engine

std::unique_ptr<Evaluator> Evaluator::load(const EngineOptions& options, const ProgressFn& progress) {
  return std::make_unique<engine::EvaluatorImpl>(options, progress);
}

}  // namespace moraine
