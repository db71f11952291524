#include "server/api/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "server/api/answer_form.h"

namespace moraine::server {

// A choice's ear at the engine. It keeps the answer alive; the engine drops it after the last event.
class Answer::Sink : public GenerationSink {
 public:
  Sink(std::shared_ptr<Answer> answer, uint32_t index) : answer_(std::move(answer)), index_(index) {}

  void on_prompt_progress(int32_t processed, int32_t total, int32_t cached) override {
    guarded([&] { answer_->on_progress(index_, processed, total, cached); });
  }
  void on_token(const TokenEvent& event) override {
    guarded([&] { answer_->on_token(index_, event); });
  }
  void on_finish(FinishReason reason, const GenerationStats& stats) override {
    guarded([&] { answer_->on_finish(index_, reason, stats); });
  }
  void on_error(const Error& error) override {
    guarded([&] { answer_->fail(to_api_error(error)); });
  }

 private:
  // Nothing may escape to the engine's thread; what does go wrong here is ours, not the model's.
  template <typename F>
  void guarded(F&& f) noexcept {
    try {
      try {
        f();
      } catch (const std::exception& e) {
        answer_->fail(ApiError(500, "server_error", "internal",
                               fmt::format("The answer could not be put together: {}.", e.what())));
      }
    } catch (...) {  // not even the error could be told; the client sees the connection end
    }
  }

  std::shared_ptr<Answer> answer_;
  uint32_t index_;
};

namespace {

// Generations that may wait at once. Each holds its prompt: without a limit, every connection with 128
// choices of a full context would fill the memory.
constexpr int32_t kMaxWaiting = 1024;

}  // namespace

void Answer::start(const Call& call, Plan plan, std::unique_ptr<Protocol> protocol) {
  if (!plan.form || !plan.form->is_demanded()) return begin(call, std::move(plan), std::move(protocol));
  struct Waiting {
    Call call;
    Plan plan;
    std::unique_ptr<Protocol> protocol;
  };
  const auto waiting = std::make_shared<Waiting>(Waiting{call, std::move(plan), std::move(protocol)});
  call.later([waiting] { begin(waiting->call, std::move(waiting->plan), std::move(waiting->protocol)); });
}

void Answer::begin(const Call& call, Plan plan, std::unique_ptr<Protocol> protocol) {
  if (const int32_t waiting = call.model->engine->stats().waiting; waiting >= kMaxWaiting) {
    throw unavailable(
        "queue_full",
        fmt::format("The server is full: {} generations are waiting for their turn. Try again later.",
                    waiting),
        5);
  }
  const int32_t n_ctx = call.model->engine->info().n_ctx;
  for (GenerationRequest& generation : plan.generations) {
    const int32_t room = n_ctx - static_cast<int32_t>(generation.prompt.size());  // add_prompt() left some
    generation.max_tokens = std::min(generation.max_tokens, room);
  }
  const auto answer = std::make_shared<Answer>(call, plan, std::move(protocol));
  if (plan.form && !plan.form->is_free()) answer->constraint_ = plan.form->bind(*call.model->constraints);
  if (answer->constraint_.source) {
    for (GenerationRequest& generation : plan.generations)
      generation.constraint = [constraint = answer->constraint_] { return constraint.start(); };
  }
  answer->submit(call, std::move(plan.generations));
  answer->open();
}

Answer::Answer(const Call& call, const Plan& plan, std::unique_ptr<Protocol> protocol)
    : exchange_(call.exchange),
      log_(call.log),
      options_(call.options),
      model_id_(call.model->id),
      protocol_(std::move(protocol)),
      stream_(plan.stream),
      keep_tokens_(plan.keep_tokens),
      shown_tokens_(plan.shown_tokens),
      tokenizer_(call.model->tokenizer),
      remember_(plan.remember),
      note_(plan.note),
      first_prompt_(plan.generations.empty() ? std::vector<TokenId>() : plan.generations[0].prompt) {
  choices_.resize(plan.generations.size());
  tracks_.reserve(choices_.size());
  for (uint32_t i = 0; i < choices_.size(); ++i) {
    choices_[i].index = i;
    choices_[i].n_prompt = static_cast<int32_t>(plan.generations[i].prompt.size());
    choices_[i].stats.n_prompt = choices_[i].n_prompt;
    tracks_.emplace_back(call.model->tokenizer, plan.stops, shown_tokens_);
  }
}

void Answer::submit(const Call& call, std::vector<GenerationRequest> generations) {
  exchange_->on_close([weak = weak_from_this()] {
    if (const auto answer = weak.lock()) answer->client_left();
  });
  for (uint32_t i = 0; i < choices_.size(); ++i) {
    std::shared_ptr<Generation> generation;
    try {
      // Not under the lock: the engine may already be sending events of this or an earlier choice.
      auto sink = std::make_shared<Sink>(shared_from_this(), i);
      generations[i].group = reinterpret_cast<uintptr_t>(this);  // unique for as long as any of them runs
      generation = call.model->engine->generate(std::move(generations[i]), std::move(sink));
    } catch (const std::exception& e) {
      const std::lock_guard lock(mutex_);
      if (over_) return;
      over_ = answered_ = true;  // by our caller, who turns the exception into the reply
      cancel_all();
      const auto* error = dynamic_cast<const Error*>(&e);
      if (error != nullptr && error->code() == ErrorCode::kContextOverflow) {
        throw context_overflow(call.model->engine->info().n_ctx, choices_[i].n_prompt);
      }
      throw;
    }
    const std::lock_guard lock(mutex_);
    if (over_ || choices_[i].stop == StopKind::kWord) generation->cancel();
    if (over_) return;  // failed, or the client left
    if (!choices_[i].done) tracks_[i].generation = std::move(generation);
  }
}

void Answer::open() {
  const std::lock_guard lock(mutex_);
  if (!stream_ || answered_) return;
  http::Response head;
  head.content_type = "text/event-stream; charset=utf-8";
  head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  exchange_->begin(std::move(head), protocol_->keep_alive());
  open_ = true;
  const bool complete_already = std::exchange(over_, false);
  send(protocol_->head() + std::exchange(backlog_, {}));
  if (complete_already) {
    over_ = answered_ = true;
    exchange_->end();
  }
}

void Answer::on_progress(uint32_t index, int32_t processed, int32_t total, int32_t cached) {
  const std::lock_guard lock(mutex_);
  choices_[index].stats.n_cached = cached;
  tracks_[index].n_read = processed;
  if (over_ || !stream_) return;
  const std::chrono::duration<double, std::milli> elapsed = Clock::now() - start_;
  send(protocol_->progress(choices_[index], processed, total, elapsed.count()));
}

void Answer::on_token(uint32_t index, const TokenEvent& event) {
  const std::lock_guard lock(mutex_);
  Choice& choice = choices_[index];
  Track& track = tracks_[index];
  if (over_ || choice.stop != StopKind::kNone) return;

  const auto now = Clock::now();
  if (choice.n_generated++ == 0) {
    track.first_token = now;
    choice.stats.prompt_ms = std::chrono::duration<double, std::milli>(now - start_).count();
  }
  choice.stats.n_generated = choice.n_generated;
  choice.stats.generated_ms = std::chrono::duration<double, std::milli>(now - track.first_token).count();
  if (event.end_of_generation) {
    choice.stop = StopKind::kEos;  // on_finish() comes next
    return;
  }

  const std::string text = track.decoder.push(event.id);
  if (remember_) {
    track.turn.tokens.push_back(event.id);
    track.turn.text += text;
  }
  const std::size_t begin = track.decoded_bytes;
  track.decoded_bytes += text.size();
  if (keep_tokens_) track.held.push_back({event, begin, track.decoded_bytes});
  std::string sure;
  const bool stopped = track.matcher.push(text, sure);
  if (stopped) {
    choice.stop = StopKind::kWord;
    choice.stop_word = track.matcher.matched();
    if (track.generation) track.generation->cancel();  // else submit() does
  }
  show(index, sure, stopped);
}

void Answer::on_finish(uint32_t index, FinishReason reason, const GenerationStats& stats) {
  const std::lock_guard lock(mutex_);
  tracks_[index].generation.reset();
  if (over_) return;
  Choice& choice = choices_[index];
  Track& track = tracks_[index];
  if (choice.stop != StopKind::kWord) {
    if (reason == FinishReason::kCancelled) {
      fail_locked(
          unavailable("shutting_down", "The server ended this generation because it is shutting down.", 5));
      return;
    }
    choice.warnings = constraint_.warnings();
    choice.stop = reason == FinishReason::kStop ? StopKind::kEos : StopKind::kLength;
    std::string rest;
    const std::string last = track.decoder.flush();
    if (remember_) track.turn.text += last;
    remember(track);
    if (track.matcher.push(last, rest)) {
      choice.stop = StopKind::kWord;
      choice.stop_word = track.matcher.matched();
    } else {
      rest += track.matcher.flush();
    }
    show(index, rest, true);
    if (over_) return;
  }
  choice.stats = stats;
  choice.stats.n_generated = choice.n_generated;  // the engine may have run one past a stop string
  choice.done = true;
  if (stream_) send(protocol_->finish(choice));
  if (!over_ && ++n_done_ == choices_.size()) complete();
}

void Answer::fail(const ApiError& error) {
  const std::lock_guard lock(mutex_);
  if (!over_) fail_locked(error);
}

void Answer::client_left() {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  over_ = answered_ = true;
  for (Track& track : tracks_) remember(track);  // it may come back with what it got, to have it continued
  cancel_all();
  log_end("the client left");
}

void Answer::remember(Track& track) {
  if (remember_ && !track.turn.tokens.empty()) remember_(std::exchange(track.turn, {}));
}

void Answer::show(uint32_t index, const std::string& text, bool last) {
  Choice& choice = choices_[index];
  Track& track = tracks_[index];
  track.shown_bytes += text.size();
  if (text.empty() && !last) return;  // tokens without text wait for the text they belong to
  Piece piece{text, {}};
  while (!track.held.empty()) {
    Held& front = track.held.front();
    const bool whole = front.end <= track.shown_bytes;
    const bool cut = last && front.begin < track.shown_bytes;  // by a stop string within the token
    if (!whole && !cut) break;
    piece.tokens.push_back(std::move(front.event));
    track.held.pop_front();
  }
  if (piece.text.empty() && piece.tokens.empty()) return;
  if (stream_) {
    send(protocol_->delta(choice, piece));
  } else {
    choice.text += piece.text;
    std::move(piece.tokens.begin(), piece.tokens.end(), std::back_inserter(choice.tokens));
  }
}

void Answer::send(const std::string& bytes) {
  if (bytes.empty()) return;
  if (!open_) {
    backlog_ += bytes;
  } else if (!exchange_->write(bytes)) {  // gone, or too slow to be served
    over_ = answered_ = true;
    cancel_all();
    exchange_->end();
    log_end("the client left");
  }
}

void Answer::complete() {
  if (!stream_) {
    http::Response response;
    response.body = protocol_->whole(choices_);
    over_ = answered_ = true;
    exchange_->reply(std::move(response));
  } else {
    send(protocol_->tail(choices_));
    if (over_) return;
    over_ = true;
    if (open_) {  // else open() ends it
      answered_ = true;
      exchange_->end();
    }
  }
  log_end("done");
}

void Answer::fail_locked(const ApiError& error) {
  over_ = answered_ = true;
  cancel_all();
  log_->line(LogLevel::kError, fmt::format("{} failed: {}", exchange_->request().path, error.what()));
  count("failed", totals());
  if (open_) {
    exchange_->write(protocol_->error(error));
    exchange_->end();
  } else {
    exchange_->reply(error_response(error, error_form(exchange_->request().path)));
  }
}

void Answer::cancel_all() {
  for (Track& track : tracks_) {
    if (track.generation) track.generation->cancel();
    track.generation.reset();
  }
}

RequestTotals Answer::totals() const {
  RequestTotals t;
  t.n_read = 0;
  const auto ms = [&](Clock::time_point at) {
    return std::chrono::duration<double, std::milli>(at - started_).count();
  };
  for (const Choice& choice : choices_) {
    t.n_prompt += choice.n_prompt;
    t.n_cached += choice.stats.n_cached;
    t.n_generated += choice.n_generated;
    t.n_read += choice.n_generated > 0 || choice.done ? choice.n_prompt : tracks_[choice.index].n_read;
    t.n_drafted += choice.stats.n_drafted;
    t.n_accepted += choice.stats.n_accepted;
    t.prompt_ms = std::max(t.prompt_ms, choice.stats.prompt_ms);
    t.generated_ms = std::max(t.generated_ms, choice.stats.generated_ms);
    const Clock::time_point first = tracks_[choice.index].first_token;
    if (first == Clock::time_point{}) continue;
    t.first_token_ms = t.first_token_ms < 0 ? ms(first) : std::min(t.first_token_ms, ms(first));
  }
  // Choices and requests may wait for each other: only the whole says what the client saw.
  t.whole_ms = ms(Clock::now());
  return t;
}

void Answer::count(const char* how, const RequestTotals& t) const {
  if (options_->on_usage) options_->on_usage(usage_record(exchange_->request(), how, t, model_id_));
}

void Answer::log_end(const char* how) const {
  const RequestTotals t = totals();
  std::string line = request_line(exchange_->request(), how, t);
  if (!choices_.empty()) line += cache_note(first_prompt_, choices_[0].stats, *tokenizer_);
  log_->line(LogLevel::kInfo, line + note_);
  count(how, t);
}

}  // namespace moraine::server
