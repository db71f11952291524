// `moraine bench`: how fast prompts are read and tokens generated, straight on the engine. A prompt test
// reads N random tokens and draws none; a generation test makes N passes of one row behind a prompt of
// one token: greedy, the end of generation ignored, so that neither sampler nor text matters. As in
// llama-bench, each test starts from an empty context, or behind as many tokens as -d says, which are
// computed once and then come from the cache, and is repeated after one untimed run.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>

#include "app.h"
#include "bench_report.h"
#include "generation.h"
#include "loading.h"
#include "model_path.h"
#include "moraine/tokenizer.h"

namespace moraine::app {
namespace {

constexpr int32_t kMostAlike = 8;  // tokens that two random prompts begin with

// Ordinary tokens: what a text is made of.
std::vector<TokenId> random_prompt(const Tokenizer& tokenizer, int32_t n, std::mt19937& random) {
  std::uniform_int_distribution<TokenId> any(0, static_cast<TokenId>(tokenizer.size()) - 1);
  std::vector<TokenId> prompt;
  prompt.reserve(static_cast<size_t>(n));
  for (int tries = 0; static_cast<int32_t>(prompt.size()) < n;) {
    const TokenId id = any(random);
    if (tokenizer.type(id) == TokenType::kNormal || ++tries > 1000) prompt.push_back(id), tries = 0;
  }
  return prompt;
}

int32_t most(const std::vector<int32_t>& numbers) {
  return *std::max_element(numbers.begin(), numbers.end());
}

class Bench {
 public:
  Bench(Invocation& invocation, Signals& signals)
      : settings_(invocation.settings), console_(invocation.console), signals_(signals) {}

  std::vector<BenchResult> run() {
    std::vector<BenchResult> results;
    for (const int32_t n_threads : settings_.bench_threads) {
      const auto engine = load(n_threads);
      for (const int32_t depth : settings_.bench_depths) {
        // A deeper context goes on from the one before.
        before_.resize(std::min(before_.size(), static_cast<size_t>(depth)));
        const auto more =
            random_prompt(*engine->tokenizer(), depth - static_cast<int32_t>(before_.size()), random_);
        before_.insert(before_.end(), more.begin(), more.end());
        if (depth > 0) (void)once(*engine, {}, 0);
        for (const int32_t n : settings_.bench_prompts)
          if (n > 0) results.push_back(measure(*engine, n, 0));
        for (const int32_t n : settings_.bench_tokens)
          if (n > 0) results.push_back(measure(*engine, 0, n));
      }
    }
    return results;
  }

 private:
  std::unique_ptr<Engine> load(int32_t n_threads) {
    EngineOptions options = settings_.engine;
    options.n_threads = n_threads;
    options.n_parallel = 1;
    const int32_t deepest = most(settings_.bench_depths);
    if (deepest == 0) options.cache_bytes = 0;
    // What is generated behind random tokens repeats itself: guessing ahead would measure that, not the
    // model. `bench speculation` measures it on tasks.
    options.speculation.max_draft = 0;
    options.n_ctx = deepest + std::max(most(settings_.bench_prompts), most(settings_.bench_tokens) + 1);
    LoadingDisplay display(console_, std::filesystem::path(options.model_path).filename().string());
    return Engine::load(options, [&](const LoadProgress& progress) {
      display.show(progress);
      return !signals_.take();
    });
  }

  BenchResult measure(Engine& engine, int32_t n_prompt, int32_t n_gen) {
    BenchResult result{.info = engine.info(),
                       .n_prompt = n_prompt,
                       .n_gen = n_gen,
                       .n_depth = static_cast<int32_t>(before_.size()),
                       .started = std::chrono::system_clock::now()};
    const auto again = [&](int32_t generate) {
      return once(engine, random_prompt(*engine.tokenizer(), std::max(n_prompt, 1), random_), generate);
    };
    if (settings_.bench_warmup) (void)again(std::min(n_gen, 8));
    for (int32_t i = 0; i < settings_.bench_repetitions; ++i) {
      console_.live(fmt::format("{}: {} of {}", result.test(), i + 1, settings_.bench_repetitions));
      result.samples_ns.push_back(again(n_gen));
    }
    console_.end_live();
    return result;
  }

  // Nanoseconds, of the engine's own clock and without queueing, for `prompt` and what is generated, behind
  // the depth's tokens.
  uint64_t once(Engine& engine, const std::vector<TokenId>& prompt, int32_t n_gen) {
    GenerationRequest request;
    request.reuse = !before_.empty();  // without a depth a cache of prefixes must not help
    request.prompt = before_;
    request.prompt.insert(request.prompt.end(), prompt.begin(), prompt.end());
    request.max_tokens = n_gen;
    request.sampling.temperature = 0;
    request.sampling.ignore_eos = true;
    const Outcome outcome = generate(engine, std::move(request), signals_);
    if (outcome.interrupted) throw Error(ErrorCode::kCancelled, "Interrupted.");
    const GenerationStats& s = outcome.stats;
    // More by the luck of two prompts that begin alike: one or two tokens of some hundred.
    const auto depth = static_cast<int32_t>(before_.size());
    if (!prompt.empty() && (s.n_cached < depth || s.n_cached > depth + kMostAlike))
      throw Error(
          ErrorCode::kInternal,
          fmt::format("Of a measured prompt {} tokens came from the cache, not {}.", s.n_cached, depth));
    return static_cast<uint64_t>((s.prompt_ms + (n_gen > 0 ? s.generated_ms : 0)) * 1e6);
  }

  const Settings& settings_;
  Console& console_;
  Signals& signals_;
  std::mt19937 random_{42};
  std::vector<TokenId> before_;  // as many tokens as the depth
};

}  // namespace

int bench(Invocation& invocation) {
  require_model(invocation, "bench");
  Signals signals{SIGINT};
  const std::vector<BenchResult> results = Bench(invocation, signals).run();
  if (results.empty()) throw options::UsageError("nothing to measure: both -p and -n are 0");
  const std::string report = bench_report(results, invocation.settings);
  std::fwrite(report.data(), 1, report.size(), stdout);
  return kOk;
}

}  // namespace moraine::app
