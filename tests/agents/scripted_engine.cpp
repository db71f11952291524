#include "scripted_engine.h"

#include <fmt/format.h>
#include <moraine/tokenizer.h>

#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "scenario.h"

namespace moraine::scripted {
namespace {

using Json = nlohmann::ordered_json;

std::string beginning(const std::string& text) { return text.substr(0, 300); }
std::vector<std::string> beginnings(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  for (const std::string& t : texts) out.push_back(beginning(t));
  return out;
}

class Report {
 public:
  explicit Report(const std::string& path) : out_(path, std::ios::app) {
    if (!out_) throw Error(ErrorCode::kIo, fmt::format("Writing {} failed.", path));
  }
  void add(const Json& line) {
    const std::lock_guard lock(mutex_);
    out_ << line.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }

 private:
  std::mutex mutex_;
  std::ofstream out_;
};

// What one reply came to; written by the engine's thread alone.
struct Reply {
  std::string rule;
  std::vector<TokenId> tokens;  // with the one that ends the turn
  std::string forbidden;        // what a constraint did not let through
};

// The sampler's choice among what is allowed, with a bias for one token above any logit: that token if it is
// allowed. Where it is not, the turn is ended as far as the constraint permits, since what a random model
// would go on with serves nobody.
class Bias final : public TokenConstraint {
 public:
  Bias(std::unique_ptr<TokenConstraint> real, std::shared_ptr<Reply> reply,
       std::shared_ptr<const Tokenizer> tokenizer)
      : real_(std::move(real)), reply_(std::move(reply)), tokenizer_(std::move(tokenizer)) {}

  std::span<const uint32_t> allowed() noexcept override {
    const std::span<const uint32_t> real = real_ ? real_->allowed() : std::span<const uint32_t>();
    const auto may = [&](TokenId t) {
      return real.empty() ||
             (static_cast<size_t>(t) / 32 < real.size() && (real[t / 32] >> (t % 32) & 1) != 0);
    };
    mask_.assign((tokenizer_->size() + 31) / 32, 0);
    const TokenId next = n_said_ < reply_->tokens.size() ? reply_->tokens[n_said_] : kNoToken;
    if (next != kNoToken && reply_->forbidden.empty()) {
      if (may(next)) {
        allow(next);
        return mask_;
      }
      const std::span<const TokenId> tokens(reply_->tokens);
      reply_->forbidden = tokenizer_->decode(tokens.first(n_said_ + 1));
    }
    for (const TokenId t : tokenizer_->end_of_generation())
      if (may(t)) allow(t);
    return mask_;  // nothing left: the generation ends
  }

  void accept(TokenId token) noexcept override {
    if (real_) real_->accept(token);
    ++n_said_;
  }

 private:
  void allow(TokenId t) { mask_[t / 32] |= 1u << (t % 32); }

  std::unique_ptr<TokenConstraint> real_;
  std::shared_ptr<Reply> reply_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  size_t n_said_ = 0;
  std::vector<uint32_t> mask_;
};

// Hands all on, and reports the end.
class Reporting final : public GenerationSink {
 public:
  Reporting(std::shared_ptr<GenerationSink> sink, std::shared_ptr<Reply> reply,
            std::shared_ptr<Report> report)
      : sink_(std::move(sink)), reply_(std::move(reply)), report_(std::move(report)) {}

  void on_prompt_progress(int32_t processed, int32_t total, int32_t cached) override {
    sink_->on_prompt_progress(processed, total, cached);
  }
  void on_token(const TokenEvent& event) override { sink_->on_token(event); }
  void on_finish(FinishReason reason, const GenerationStats& stats) override {
    report_->add({{"rule", reply_->rule},
                  {"finish", reason == FinishReason::kStop     ? "stop"
                             : reason == FinishReason::kLength ? "length"
                                                               : "cancelled"},
                  {"prompt", stats.n_prompt},
                  {"cached", stats.n_cached},
                  {"generated", stats.n_generated},
                  {"prompt_ms", stats.prompt_ms},
                  {"forbidden", reply_->forbidden.empty() ? Json() : Json(reply_->forbidden)}});
    sink_->on_finish(reason, stats);
  }
  void on_error(const Error& error) override {
    report_->add({{"rule", reply_->rule}, {"error", error.what()}});
    sink_->on_error(error);
  }

 private:
  std::shared_ptr<GenerationSink> sink_;
  std::shared_ptr<Reply> reply_;
  std::shared_ptr<Report> report_;
};

class ScriptedEngine final : public Engine {
 public:
  ScriptedEngine(std::unique_ptr<Engine> engine, std::vector<Rule> rules, std::shared_ptr<Report> report)
      : engine_(std::move(engine)), rules_(std::move(rules)), report_(std::move(report)) {}

  const ModelInfo& info() const override { return engine_->info(); }
  const MemoryEstimate& memory() const override { return engine_->memory(); }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return engine_->tokenizer(); }
  EngineStats stats() const override { return engine_->stats(); }

  std::shared_ptr<Generation> generate(GenerationRequest request,
                                       std::shared_ptr<GenerationSink> sink) override {
    const std::shared_ptr<const Tokenizer> tokenizer = engine_->tokenizer();
    const Told last = told(request.prompt, *tokenizer);
    const Rule* rule = choose(rules_, last);
    if (rule == nullptr) {
      report_->add({{"unmatched", {beginning(last.system), beginnings(last.user), beginnings(last.tool)}}});
      throw Error(ErrorCode::kInternal, "The scenario has no reply to this; its report says to what.");
    }
    const auto reply = std::make_shared<Reply>(
        Reply{.rule = rule->name,
              .tokens = tokenizer->encode(rule->reply, {.add_special = false, .parse_special = true})});
    reply->tokens.push_back(tokenizer->special().eos);
    request.constraint = [real = std::move(request.constraint), reply, tokenizer] {
      return std::make_unique<Bias>(real ? real() : nullptr, reply, tokenizer);
    };
    return engine_->generate(std::move(request),
                             std::make_shared<Reporting>(std::move(sink), reply, report_));
  }

 private:
  std::unique_ptr<Engine> engine_;
  std::vector<Rule> rules_;
  std::shared_ptr<Report> report_;
};

}  // namespace

std::unique_ptr<Engine> speak_for(std::unique_ptr<Engine> engine, const std::string& scenario_file,
                                  const std::string& report_file) {
  std::ifstream in(scenario_file);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) throw Error(ErrorCode::kIo, fmt::format("Reading {} failed.", scenario_file));
  return std::make_unique<ScriptedEngine>(std::move(engine), parse_scenario(text.str()),
                                          std::make_shared<Report>(report_file));
}

}  // namespace moraine::scripted
