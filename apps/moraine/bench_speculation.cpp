// `moraine bench speculation`: what guessing ahead brings on this machine. Answers of one engine, as the
// options make it, with and without drafts in turn: a busy moment meets both, and so does the luck of where
// the weights lie in memory, which alone makes decoding 4% faster or slower. A second engine drafts what a
// script says and tells what steps take. What is computed of it: bench_speculation.h.
#include "bench_speculation.h"

#include <fmt/format.h>
#include <moraine/tokenizer.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>

#include "app.h"
#include "chat/template.h"
#include "loading.h"
#include "model_path.h"
#include "perplexity_text.h"
#include "prompts.h"
#include "signals.h"
#include "speculation_tasks.h"

namespace moraine::app {
namespace {

constexpr size_t kMaxTaskBytes = 1 << 20;
constexpr int32_t kCostRows = 32;   // --cost: as many as a step may hold
constexpr int32_t kCostSteps = 12;  // of each number of rows
constexpr int32_t kFixedLengths[] = {0, 1, 2, 4, 8, 16};

// Collects an answer without waking anybody up before its end: the engine has the cores for itself.
class Answer final : public GenerationSink {
 public:
  void on_token(const TokenEvent& event) override { tokens.push_back(event.id); }
  void on_finish(FinishReason r, const GenerationStats& s) override {
    reason = r, stats = s;
    end.raise();
  }
  void on_error(const Error& e) override {
    error = e;
    end.raise();
  }

  std::vector<TokenId> tokens;
  FinishReason reason = FinishReason::kStop;
  GenerationStats stats;
  std::optional<Error> error;
  Event end;

  double seconds() const { return stats.generated_ms / 1e3; }  // from the first token on
};

class Measurement {
 public:
  Measurement(Invocation& invocation, Signals& signals)
      : settings_(invocation.settings), console_(invocation.console), signals_(signals) {}

  int run() {
    const SpeculationBenchSettings& s = settings_.bench_speculation;
    const bool tasks = s.acceptances.empty() && !s.cost;
    scripted_ = load([&](SpeculationOptions& o) {
      o.max_draft = kCostRows - 1;
      o.always = true;
      o.model = {};
      o.script = scripted_drafts();
    });
    report_.info = scripted_->info();
    report_.n_tokens = s.n_tokens, report_.rounds = s.rounds;
    report_.max_draft = settings_.engine.speculation.max_draft;
    if (s.cost)
      for (const int32_t n : s.depths) report_.costs.push_back(measure_costs(n));
    if (!s.acceptances.empty()) {
      const auto controlled =
          load([&](SpeculationOptions& o) { o.script = scripted_drafts(), o.model = {}; });
      for (const double p : s.acceptances) report_.acceptances.push_back(measure_acceptance(*controlled, p));
    }
    if (tasks) {
      const auto live = load([](SpeculationOptions&) {});
      if (s.file.empty()) {
        for (const SpeculationTask& t : speculation_tasks()) report_.tasks.push_back(measure_task(*live, t));
      } else {
        const std::string text = read_text_file(s.file, "--file", kMaxTaskBytes);
        const std::string name = std::filesystem::path(s.file).stem().string();
        report_.tasks.push_back(measure_task(*live, parse_speculation_task(name, text)));
      }
    }
    console_.end_live();
    const std::string text = settings_.json ? speculation_json(report_) : speculation_report(report_);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kOk;
  }

 private:
  template <class F>
  std::unique_ptr<Engine> load(F&& adapt) {
    EngineOptions options = settings_.engine;
    options.n_parallel = 1;
    if (options.n_ctx == 0) options.n_ctx = context();
    adapt(options.speculation);
    LoadingDisplay display(console_, std::filesystem::path(options.model_path).filename().string());
    return Engine::load(options, [&](const LoadProgress& progress) {
      display.show(progress);
      return !signals_.take();
    });
  }

  int32_t context() const {
    const SpeculationBenchSettings& s = settings_.bench_speculation;
    int32_t n = 2048 + s.n_tokens;
    if (s.cost)
      n = std::max(n, *std::max_element(s.depths.begin(), s.depths.end()) + kCostRows * kCostSteps + 64);
    return n;
  }

  std::function<void(std::span<const TokenId>, int32_t, std::vector<TokenId>&)> scripted_drafts() {
    return [script = script_](std::span<const TokenId> tokens, int32_t room, std::vector<TokenId>& draft) {
      script->draft(tokens, room, draft);
    };
  }

  // The answer to the prompt; always the likeliest tokens. The request's own scope: nothing is known of
  // earlier answers.
  std::shared_ptr<Answer> ask(Engine& engine, const std::vector<TokenId>& prompt, int32_t n_tokens,
                              bool to_the_end, int32_t max_draft = -1) {
    GenerationRequest request;
    request.prompt = prompt;
    request.max_tokens = n_tokens;
    request.max_draft = max_draft;
    request.sampling.temperature = 0;
    request.sampling.ignore_eos = !to_the_end;
    request.cache_scope = to_the_end ? ++last_scope_ : 0;
    const auto answer = std::make_shared<Answer>();
    const auto generation = engine.generate(std::move(request), answer);
    while (wait_readable({answer->end.fd(), signals_.fd()}) != 0)
      if (signals_.take()) generation->cancel();
    if (answer->error) throw *answer->error;
    if (answer->reason == FinishReason::kCancelled) throw Error(ErrorCode::kCancelled, "Interrupted.");
    return answer;
  }

  // Plain decoding, what the script will say from then on.
  std::shared_ptr<Answer> ask_plainly(const std::vector<TokenId>& prompt, int32_t n_tokens, bool to_the_end) {
    script_->set(0, 0);
    const auto answer = ask(*scripted_, prompt, n_tokens, to_the_end);
    std::vector<TokenId> truth = prompt;
    truth.insert(truth.end(), answer->tokens.begin(), answer->tokens.end());
    script_->set_truth(std::move(truth), prompt.size());
    return answer;
  }

  void require_equal(const Answer& a, const Answer& b, const std::string& what) const {
    if (a.tokens == b.tokens) return;
    const auto at = std::mismatch(a.tokens.begin(), a.tokens.end(), b.tokens.begin(), b.tokens.end()).first -
                    a.tokens.begin();
    throw Error(ErrorCode::kInternal,
                fmt::format("{}: the tokens differ from token {} of the answer on (hashes {:016x} without "
                            "speculation, {:016x} with it). This is a fault of moraine: please report it.",
                            what, at, hash_tokens(a.tokens), hash_tokens(b.tokens)));
  }

  TaskResult measure_task(Engine& live, const SpeculationTask& task) {
    TaskResult r;
    r.name = task.name;
    const std::vector<TokenId> prompt = task_prompt(*scripted_, task);
    r.n_prompt = static_cast<int32_t>(prompt.size());
    const SpeculationBenchSettings& s = settings_.bench_speculation;
    std::vector<DrafterStats> before;
    for (int32_t round = -1; round < s.rounds; ++round) {  // -1: unmeasured, for caches, clocks and costs
      console_.live(fmt::format("{}: round {} of {}", r.name, round + 1, s.rounds));
      if (round == 0) before = live.stats().drafters;
      const bool on_first = round % 2 == 1;
      std::shared_ptr<Answer> off, on;
      if (on_first) on = ask(live, prompt, s.n_tokens, true);
      off = ask(live, prompt, s.n_tokens, true, 0);
      if (!on_first) on = ask(live, prompt, s.n_tokens, true);
      require_equal(*off, *on, r.name);
      r.n_generated = off->stats.n_generated;
      r.hash = hash_tokens(off->tokens);
      if (round < 0 || r.n_generated < 2) continue;
      // A step of several tokens may come first: to both the same plain step is added for it.
      const double first = off->seconds() / (r.n_generated - 1);
      r.off_seconds.push_back(off->seconds() + first);
      r.on_seconds.push_back(on->seconds() + first);
      r.n_drafted += on->stats.n_drafted, r.n_accepted += on->stats.n_accepted;
      if (round + 1 < s.rounds) continue;
      const auto output = std::span<const TokenId>(off->tokens);
      r.bound = bound(prompt, output);
    }
    r.drafters = live.stats().drafters;
    for (size_t i = 0; i < r.drafters.size() && i < before.size(); ++i) {
      r.drafters[i].drafted -= before[i].drafted;
      r.drafters[i].accepted -= before[i].accepted;
    }
    return r;
  }

  // How many times as fast as plain decoding the answer could be made with drafts from its own text.
  double bound(const std::vector<TokenId>& prompt, std::span<const TokenId> output) {
    const int32_t max_draft = std::min(report_.max_draft, kCostRows - 1);
    std::vector<int32_t> rows;
    for (const int32_t n : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32})
      if (n < 1 + max_draft) rows.push_back(n);
    rows.push_back(1 + max_draft);
    const auto samples = step_seconds(prompt, rows, settings_.bench_speculation.rounds);
    StepCosts costs;
    for (size_t i = 0; i < rows.size(); ++i) costs.set(rows[i], median(samples[i]));
    const double plain = costs.at(1) * static_cast<double>(output.size());
    return plain / least_seconds(held_lengths(prompt, output, max_draft), costs);
  }

  // Seconds of a step of so many rows behind the prompt, all drafts right: by rows[i], then round.
  std::vector<std::vector<double>> step_seconds(const std::vector<TokenId>& prompt,
                                                const std::vector<int32_t>& rows, int32_t rounds) {
    const int32_t most = *std::max_element(rows.begin(), rows.end());
    const int32_t steps = std::max(
        1, std::min(kCostSteps, (scripted_->info().n_ctx - static_cast<int32_t>(prompt.size()) - 1) / most));
    const auto plain = ask_plainly(prompt, 1 + steps * most, false);
    std::vector<std::vector<double>> seconds(rows.size());
    for (int32_t round = 0; round < rounds; ++round)
      for (size_t i = 0; i < rows.size(); ++i) {
        // As many steps whatever their rows; where an answer must end with a token of its own, all fit.
        script_->set(1, rows[i] - 1);
        const auto answer = ask(*scripted_, prompt, 1 + steps * rows[i], false);
        seconds[i].push_back(answer->seconds() / steps);
      }
    script_->set(0, 0);
    return seconds;
  }

  CostResult measure_costs(int32_t n_context) {
    console_.live(fmt::format("steps of 1 to {} rows behind {} tokens", kCostRows, n_context));
    CostResult r;
    r.n_context = n_context;
    std::vector<TokenId> prompt, text = scripted_->tokenizer()->encode(perplexity_text());
    while (static_cast<int32_t>(prompt.size()) < n_context)
      prompt.insert(prompt.end(), text.begin(), text.end());
    prompt.resize(n_context);
    std::vector<int32_t> rows;
    for (int32_t n = 1; n <= kCostRows; ++n) rows.push_back(n);
    r.seconds = step_seconds(prompt, rows, settings_.bench_speculation.rounds);
    return r;
  }

  AcceptanceResult measure_acceptance(Engine& controlled, double p) {
    AcceptanceResult r;
    r.acceptance = p;
    const SpeculationBenchSettings& s = settings_.bench_speculation;
    const std::vector<TokenId> prompt = task_prompt(*scripted_, speculation_tasks().front());
    for (const int32_t n : kFixedLengths) r.lengths.push_back(n);
    r.seconds.resize(r.lengths.size());
    const auto plain = ask_plainly(prompt, s.n_tokens, false);
    double drafted = 0, steps = 0;
    for (int32_t round = -1; round < s.rounds; ++round) {
      console_.live(fmt::format("acceptance {}: round {} of {}", p, round + 1, s.rounds));
      for (size_t i = 0; i < r.lengths.size(); ++i) {
        script_->set(p, r.lengths[i]);
        const auto answer = ask(*scripted_, prompt, s.n_tokens, false);
        require_equal(*plain, *answer, fmt::format("drafts of {}", r.lengths[i]));
        if (round >= 0) r.seconds[i].push_back(answer->seconds());
      }
      script_->set(p, kCostRows - 1);
      const auto answer = ask(controlled, prompt, s.n_tokens, false);
      require_equal(*plain, *answer, "drafts of the controller's choice");
      if (round < 0) continue;
      r.controller_seconds.push_back(answer->seconds());
      drafted += answer->stats.n_drafted;
      steps += answer->stats.n_generated - answer->stats.n_accepted;
    }
    r.mean_length = steps > 0 ? drafted / steps : 0;
    script_->set(0, 0);
    return r;
  }

  const Settings& settings_;
  Console& console_;
  Signals& signals_;
  std::unique_ptr<Engine> scripted_;
  // Read on the engine's thread while an answer is made, written between answers.
  std::shared_ptr<ScriptedDrafter> script_ = std::make_shared<ScriptedDrafter>();
  uint64_t last_scope_ = 0;
  SpeculationReport report_;
};

}  // namespace

int bench_speculation(Invocation& invocation) {
  require_model(invocation, "bench speculation");
  Signals signals{SIGINT};
  return Measurement(invocation, signals).run();
}

}  // namespace moraine::app
