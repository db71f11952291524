#include "constraint/token_constraint.h"

#include <bit>
#include <chrono>
#include <condition_variable>
#include <optional>
#include <utility>

namespace moraine::constraint {
namespace {

constexpr size_t kTailBytes = 1024;   // of the text, kept to find triggers in; longer than any of them
constexpr int kMostForcing = 64;      // tokens that may spell the beginning of one text
constexpr size_t kBytesOfAToken = 8;  // at most, where many tokens are looked ahead
constexpr std::string_view kWhiteSpace = " \t\r\n";
constexpr std::string_view kQuotes = "`'\"";

// The token by which a tag begins, if that is a token of its own: <think>, or <|channel> of
// <|channel>thought.
TokenId opening_token(const Tokenizer& tokenizer, const std::string& tag) {
  if (const TokenId whole = tokenizer.find(tag); whole != kNoToken) return whole;
  const auto tokens = tokenizer.encode(tag, {.add_special = false, .parse_special = true});
  if (tokens.empty()) return kNoToken;
  const TokenType type = tokenizer.type(tokens[0]);
  return type == TokenType::kControl || type == TokenType::kUserDefined ? tokens[0] : kNoToken;
}

// A matcher and the step it takes next, handed between the engine's thread and a worker.
class Stepper {
 public:
  Stepper(size_t n_words, std::shared_ptr<Source> source) : words_(n_words), source_(std::move(source)) {}

  // Engine's thread: what comes next. The step before must be over.
  void begin(std::shared_ptr<const Grammar> grammar) { grammar_ = std::move(grammar); }
  void feed(TokenId token) {
    token_ = token;
    before_ = std::exchange(last_, token);
  }
  // A matcher's beginning takes its time whatever comes then.
  bool is_slow() const { return grammar_ || source_->costs().is_slow(before_, last_); }
  void feed(std::string text) { text_ = std::move(text); }
  void queue() {
    const std::lock_guard lock(mutex_);
    status_ = Status::kQueued;
  }

  // Worker or engine: takes the step, unless another thread does.
  void run() noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (status_ != Status::kQueued) return;
      status_ = Status::kRunning;
    }
    bool ok = false;
    try {
      ok = step();
    } catch (const std::exception& e) {
      error_ = e.what();
    }
    {
      const std::lock_guard lock(mutex_);
      status_ = ok ? Status::kDone : Status::kFailed;
    }
    over_.notify_all();
  }

  // Engine's thread: waits for the step. False: it failed.
  bool wait() {
    run();  // nobody has begun
    std::unique_lock lock(mutex_);
    over_.wait(lock, [this] { return status_ == Status::kDone || status_ == Status::kFailed; });
    return status_ == Status::kDone;
  }

  // Engine's thread: the text that must follow, if that can be told at once.
  std::string forced(size_t most_bytes) {
    {
      const std::lock_guard lock(mutex_);
      if (status_ == Status::kRunning || (status_ == Status::kQueued && is_slow())) return "";
    }
    run();
    {
      const std::lock_guard lock(mutex_);
      if (status_ != Status::kDone) return "";
    }
    // Where a long text is forced, only the tokens that spell its beginning are allowed.
    int n_allowed = 0;
    for (const uint32_t word : words_) n_allowed += std::popcount(word);
    return n_allowed > kMostForcing || matcher_->ended() ? "" : matcher_->forced(most_bytes);
  }

  std::span<uint32_t> words() { return words_; }
  bool ended() const { return matcher_ && matcher_->ended(); }
  const std::string& error() const { return error_; }

 private:
  enum class Status : uint8_t { kDone, kQueued, kRunning, kFailed };

  bool step() {
    const auto begin = std::chrono::steady_clock::now();
    if (grammar_) matcher_ = std::make_unique<Matcher>(*std::exchange(grammar_, nullptr));
    const auto token = std::exchange(token_, std::nullopt);
    const auto text = std::exchange(text_, std::nullopt);
    const bool ok = (!token || matcher_->accept(*token)) &&
                    (!text || matcher_->accept(std::string_view(*text))) && matcher_->mask(words_);
    if (!ok) error_ = matcher_->error();
    const auto took = std::chrono::steady_clock::now() - begin;
    source_->costs().learn(before_, last_,
                           std::chrono::duration_cast<std::chrono::microseconds>(took).count());
    return ok;
  }

  std::mutex mutex_;  // guards status_; the rest belongs to whoever's turn it is
  std::condition_variable over_;
  Status status_ = Status::kDone;
  std::shared_ptr<const Grammar> grammar_;
  std::optional<TokenId> token_;
  std::optional<std::string> text_;
  std::unique_ptr<Matcher> matcher_;
  std::vector<uint32_t> words_;
  const std::shared_ptr<Source> source_;
  TokenId before_ = kNoToken, last_ = kNoToken;
  std::string error_;
};

class GrammarConstraint final : public TokenConstraint {
 public:
  GrammarConstraint(std::shared_ptr<Service> service, std::shared_ptr<Source> source, Scope scope)
      : service_(std::move(service)), source_(std::move(source)), scope_(std::move(scope)) {
    if (scope_.reasoning == Scope::Reasoning::kMayBegin)
      opener_ = opening_token(*service_->tokenizer, scope_.reasoning_begin);
    if (scope_.reasoning == Scope::Reasoning::kBegun)
      begin_reasoning();
    else
      begin_answer(std::exchange(scope_.begun, {}));
  }

  ~GrammarConstraint() override { drop_stepper(); }

  std::span<const uint32_t> allowed() noexcept override {
    try {
      if (state_ != State::kBound) return {};
      if (!stepper_->wait()) {
        switch_off(stepper_->error());
        return {};
      }
      if (stepper_->ended() && lazy() && !scope_.single) {  // the call is over
        drop_stepper();
        state_ = State::kWatching;
        tail_.clear();
        text_start_ = false;
        return {};
      }
      const auto words = stepper_->words();
      if (at_start_ && opener_ != kNoToken && static_cast<size_t>(opener_) / 32 < words.size())
        words[opener_ / 32] |= 1u << opener_ % 32;
      return words;
    } catch (const std::exception& e) {
      switch_off(e.what());
      return {};
    }
  }

  std::span<const TokenId> forced(int32_t most) noexcept override {
    forced_.clear();
    if (state_ != State::kBound || (at_start_ && opener_ != kNoToken) || most < 1) return {};
    try {
      const std::string text = stepper_->forced(std::min<size_t>(most * kBytesOfAToken, kTailBytes));
      if (!text.empty())
        forced_ = service_->tokenizer->encode(text, {.add_special = false, .parse_special = false});
      // Its last token would often be another if more of the text were known.
      if (!forced_.empty()) forced_.pop_back();
      if (forced_.size() > static_cast<size_t>(most)) forced_.resize(most);
    } catch (const std::exception&) {
      forced_.clear();
    }
    return forced_;
  }

  void accept(TokenId token) noexcept override {
    try {
      const bool first = std::exchange(at_start_, false);
      switch (state_) {
        case State::kOff:
          break;
        case State::kBound:
          if (first && token == opener_) {
            drop_stepper();
            begin_reasoning();
          } else if (!service_->tokenizer->is_end_of_generation(token)) {
            stepper_->feed(token);
            start_step();
          }
          break;
        case State::kReasoning:
        case State::kWatching:
          watch(token);
          break;
      }
    } catch (const std::exception& e) {
      switch_off(e.what());
    }
  }

 private:
  // Free within reasoning; free until a trigger; under the grammar; free for good.
  enum class State : uint8_t { kReasoning, kWatching, kBound, kOff };

  bool lazy() const { return !scope_.triggers.empty(); }

  void begin_reasoning() {
    state_ = State::kReasoning;
    tail_ = '\n';
    opener_ = kNoToken;  // it opens once
  }

  // Where the answer itself begins; `text` of it is there already.
  void begin_answer(std::string text) {
    if (lazy()) {
      state_ = State::kWatching;
      tail_ = '\n';  // it begins a line
      if (text.size() > kTailBytes / 2) {
        text.erase(0, text.size() - kTailBytes / 2);
        tail_.clear();
      }
      text_start_ = !tail_.empty();
      tail_ += text;
    } else if (bind()) {
      if (!text.empty()) stepper_->feed(std::move(text));
      start_step();
    }
  }

  bool at_text_start(size_t at) const { return text_start_ && tail_.find_first_not_of(kWhiteSpace) >= at; }

  bool bind() {
    auto grammar = source_->grammar();
    if (!grammar) {  // it is compiled still, or cannot be
      if (!lazy()) state_ = State::kOff;
      return false;
    }
    if (!stepper_) stepper_ = std::make_shared<Stepper>((service_->tokenizer->size() + 31) / 32, source_);
    stepper_->begin(std::move(grammar));
    state_ = State::kBound;
    return true;
  }

  void start_step() {
    const bool slow = stepper_->is_slow();
    stepper_->queue();
    if (slow) service_->masks.post([stepper = stepper_] { stepper->run(); });
  }

  // Looks for what ends the reasoning or opens a call in the text that grew by a token.
  void watch(TokenId token) {
    if (token == opener_ && at_text_start(tail_.size())) begin_reasoning();
    const std::string_view bytes = service_->tokenizer->token_bytes(token);
    const size_t before = tail_.size();
    tail_ += bytes;
    if (state_ == State::kReasoning) {
      const size_t end = tail_.find(scope_.reasoning_end);
      if (end != std::string::npos) {
        // The rest of the token belongs to the answer, but for the white space that parts it from the
        // reasoning.
        const size_t rest = tail_.find_first_not_of(kWhiteSpace, end + scope_.reasoning_end.size());
        return begin_answer(rest == std::string::npos ? "" : tail_.substr(rest));
      }
    }
    for (const Trigger& trigger : scope_.triggers) {
      if (trigger.text_start && !text_start_) continue;
      if (missed_ && missed_ != &trigger) continue;
      const bool line_start = trigger.line_start || state_ == State::kReasoning;
      // One that ends with this token.
      size_t at = before < trigger.text.size() ? 0 : before - trigger.text.size() + 1;
      if (trigger.text_start) at = std::max(at, tail_.find_first_not_of(kWhiteSpace));
      for (at = tail_.find(trigger.text, at); at != std::string::npos;
           at = tail_.find(trigger.text, at + 1)) {
        if (trigger.text_start && tail_.find_first_not_of(kWhiteSpace) != at) break;
        if (line_start && (at == 0 || tail_[at - 1] != '\n')) continue;
        if (at > 0 && kQuotes.find(tail_[at - 1]) != kQuotes.npos) continue;  // the model speaks of it
        if (!bind()) {
          missed_ = &trigger;
          return;
        }
        // A control token is itself; text may have come in any tokens, and a little more with the last.
        if (trigger.text == bytes && service_->tokenizer->is_control(token))
          stepper_->feed(token);
        else
          stepper_->feed(tail_.substr(at));
        return start_step();
      }
    }
    if (tail_.size() > kTailBytes) {
      tail_.erase(0, tail_.size() - kTailBytes / 2);
      text_start_ = false;
    }
  }

  // On a worker: a long text takes its time to free.
  void drop_stepper() noexcept {
    if (!stepper_) return;
    try {
      service_->masks.post([stepper = stepper_] { (void)stepper; });
    } catch (const std::exception&) {
    }
    stepper_.reset();
  }

  // Better an answer that is not bound than none: the parsers take whatever comes.
  // `reason` may be the stepper's own, which goes here: by value.
  void switch_off(std::string reason) noexcept {
    drop_stepper();
    state_ = lazy() ? State::kWatching : State::kOff;
    tail_.clear();
    text_start_ = false;
    try {
      if (service_->log)
        service_->log("A constraint was given up in the midst of an answer: " + reason + ".");
      source_->warn("A constraint was given up in the midst of the answer: " + reason + ".");
    } catch (const std::exception&) {
    }
  }

  const std::shared_ptr<Service> service_;
  const std::shared_ptr<Source> source_;
  Scope scope_;
  TokenId opener_ = kNoToken;
  State state_ = State::kOff;
  // A call began by this before its grammar was there: what else begins calls may stand within that one, and
  // would take the grammar for a call without its opening.
  const Trigger* missed_ = nullptr;
  bool at_start_ = true;     // no token was drawn
  bool text_start_ = false;  // tail_ holds the whole answer
  std::string tail_;         // of the text, and a line end before its beginning
  std::shared_ptr<Stepper> stepper_;
  std::vector<TokenId> forced_;
};

}  // namespace

std::unique_ptr<TokenConstraint> make_constraint(std::shared_ptr<Service> service,
                                                 std::shared_ptr<Source> source, Scope scope) {
  return std::make_unique<GrammarConstraint>(std::move(service), std::move(source), std::move(scope));
}

std::shared_ptr<const Grammar> Source::grammar() const {
  const std::lock_guard lock(mutex_);
  return grammar_;
}

void Source::set(std::shared_ptr<const Grammar> grammar) {
  const std::lock_guard lock(mutex_);
  grammar_ = std::move(grammar);
}

void Source::warn(std::string sentence) {
  const std::lock_guard lock(mutex_);
  if (std::find(warnings_.begin(), warnings_.end(), sentence) == warnings_.end())
    warnings_.push_back(std::move(sentence));
}

std::vector<std::string> Source::warnings() const {
  const std::lock_guard lock(mutex_);
  return warnings_;
}

}  // namespace moraine::constraint
