// `moraine perplexity`: how well a model predicts a text. Measured as llama-perplexity does, because people
// compare these numbers: the text is cut into chunks of n_ctx tokens, each read on an empty context with
// the beginning-of-text token, where the model wants one, in place of its first; what counts is the second
// half of a chunk, so that every counted token is predicted from at least n_ctx / 2 before it.
#include <fmt/format.h>
#include <moraine/evaluate.h>
#include <moraine/tokenizer.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app.h"
#include "loading.h"
#include "model_path.h"
#include "perplexity_text.h"
#include "signals.h"

namespace moraine::app {
namespace {

using Clock = std::chrono::steady_clock;
using OrderedJson = nlohmann::ordered_json;

constexpr int32_t kDefaultChunk = 512;  // tokens; llama-perplexity's
constexpr size_t kMaxTextBytes = 256 << 20;

// The counted tokens so far.
struct Score {
  int64_t n = 0;
  double nll = 0, nll_squares = 0;  // sums of -ln p and of its square
  int64_t bytes = 0;

  void add(double log_prob, size_t n_bytes) {
    ++n;
    nll -= log_prob;
    nll_squares += log_prob * log_prob;
    bytes += static_cast<int64_t>(n_bytes);
  }
  double mean() const { return nll / static_cast<double>(n); }  // nats a token
  double perplexity() const { return std::exp(mean()); }
  // Of the mean, tokens taken as independent; of the perplexity it is this times the perplexity.
  double mean_error() const {
    const double variance = nll_squares / static_cast<double>(n) - mean() * mean();
    return n > 1 && variance > 0 ? std::sqrt(variance / static_cast<double>(n - 1)) : 0;
  }
  double bits_per_byte() const { return bytes > 0 ? nll / std::log(2.0) / static_cast<double>(bytes) : 0; }
};

class Measurement {
 public:
  Measurement(Invocation& invocation, Signals& signals)
      : settings_(invocation.settings), console_(invocation.console), signals_(signals) {}

  int run() {
    const bool own = settings_.perplexity_file.empty();
    const std::string text = own ? std::string(perplexity_text())
                                 : read_text_file(settings_.perplexity_file, "--file", kMaxTextBytes);
    const std::string name = own ? "its own text" : terminal_safe(settings_.perplexity_file);
    load();
    tokens_ = evaluator_->tokenizer()->encode(text);
    if (static_cast<int64_t>(tokens_.size()) < n_ctx_)
      throw Error(
          ErrorCode::kInvalidArgument,
          fmt::format("The text of {} bytes has {} tokens, and one chunk takes {}: give a longer text "
                      "(-f FILE) or smaller chunks (-c).",
                      text.size(), tokens_.size(), n_ctx_));
    n_chunks_ = static_cast<int32_t>(static_cast<int64_t>(tokens_.size()) / n_ctx_);
    if (settings_.perplexity_chunks > 0) n_chunks_ = std::min(n_chunks_, settings_.perplexity_chunks);
    began_ = Clock::now();
    const bool whole = measure();
    console_.end_live();
    if (score_.n > 0) print(name);
    return whole ? kOk : kInterrupted;
  }

 private:
  void load() {
    EngineOptions options = settings_.engine;
    n_ctx_ = options.n_ctx = options.n_ctx > 0 ? options.n_ctx : kDefaultChunk;
    if (n_ctx_ < 4)
      throw options::UsageError("--ctx-size: a chunk has at least 4 tokens, since its second half counts");
    LoadingDisplay display(console_, std::filesystem::path(options.model_path).filename().string());
    evaluator_ = Evaluator::load(options, [&](const LoadProgress& progress) {
      display.show(progress);
      return !signals_.take();
    });
    if (const int32_t trained = evaluator_->info().n_ctx_train; trained > 0 && n_ctx_ > trained)
      console_.warn(
          fmt::format("the model was trained on {} tokens; chunks of {} tell little", trained, n_ctx_));
  }

  // False: a signal came; what is counted then is whole chunks.
  bool measure() {
    const Tokenizer& tokenizer = *evaluator_->tokenizer();
    const int32_t first = n_ctx_ / 2;
    try {
      for (; n_done_ < n_chunks_; ++n_done_) {
        std::vector<TokenId> chunk(tokens_.begin() + int64_t{n_done_} * n_ctx_,
                                   tokens_.begin() + int64_t{n_done_ + 1} * n_ctx_);
        if (tokenizer.special().add_bos) chunk[0] = tokenizer.special().bos;
        show(0);
        const std::vector<double> scores = evaluator_->log_probs(chunk, first, [&](int32_t n) {
          show(n);
          return !signals_.take();
        });
        for (size_t i = 0; i < scores.size(); ++i)
          score_.add(scores[i], tokenizer.token_bytes(chunk[first + 1 + i]).size());
      }
      return true;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kCancelled) throw;
      return false;
    }
  }

  void show(int32_t n) {
    const double chunks = n_done_ + static_cast<double>(n) / n_ctx_;
    const double seconds = seconds_since_start();
    std::string line = fmt::format("chunk {} of {}", n_done_ + 1, n_chunks_);
    if (score_.n > 0)
      line += fmt::format(": perplexity {:.3f} ± {:.3f}", score_.perplexity(),
                          score_.mean_error() * score_.perplexity());
    if (seconds > 1 && chunks > 0)
      line += fmt::format(", {:.0f} s left", std::ceil(seconds / chunks * (n_chunks_ - chunks)));
    console_.live(line);
  }

  double seconds_since_start() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }

  void print(const std::string& name) const {
    const ModelInfo& info = evaluator_->info();
    const double ppl = score_.perplexity(), error = score_.mean_error();
    const double speed = int64_t{n_done_} * n_ctx_ / std::max(1e-9, seconds_since_start());
    std::string out;
    if (settings_.json) {
      const OrderedJson json = {{"model", info.path},
                                {"text", name},
                                {"n_ctx", n_ctx_},
                                {"chunks", n_done_},
                                {"chunks_wanted", n_chunks_},
                                {"tokens_in_text", tokens_.size()},
                                {"tokens_counted", score_.n},
                                {"perplexity", ppl},
                                {"perplexity_error", error * ppl},
                                {"nll", score_.mean()},
                                {"nll_error", error},
                                {"bits_per_byte", score_.bits_per_byte()},
                                {"tokens_per_second", speed},
                                {"memory_bytes", evaluator_->memory().total()}};
      out = json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
    } else {
      out = fmt::format(
          "{} {} on {}, {} tokens: {} of {} chunks of {}, {} tokens counted, {:.0f} tok/s\n"
          "perplexity {:.4f} ± {:.4f}   ({:.4f} ± {:.4f} nats a token, {:.4f} bits a byte)\n",
          terminal_safe(info.name), info.quantization, name, count_text(static_cast<int64_t>(tokens_.size())),
          n_done_, n_chunks_, n_ctx_, count_text(score_.n), speed, ppl, error * ppl, score_.mean(), error,
          score_.bits_per_byte());
    }
    std::fwrite(out.data(), 1, out.size(), stdout);
  }

  const Settings& settings_;
  Console& console_;
  Signals& signals_;
  std::unique_ptr<Evaluator> evaluator_;
  std::vector<TokenId> tokens_;
  int32_t n_ctx_ = 0, n_chunks_ = 0, n_done_ = 0;
  Score score_;
  Clock::time_point began_;
};

}  // namespace

int perplexity(Invocation& invocation) {
  require_model(invocation, "perplexity");
  Signals signals{SIGINT};
  return Measurement(invocation, signals).run();
}

}  // namespace moraine::app
