// One request's answer from its first byte to its last: n generations, their text (decoded, cut at stop
// strings), what goes out when, and what happens when the client leaves. Knows no endpoint's JSON:
// that is a Protocol, one for each endpoint family (chat_completions.cpp, completions.cpp, ...).
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "chat/answer_constraint.h"
#include "server/api/context.h"
#include "server/api/errors.h"
#include "server/api/request_log.h"
#include "server/api/stop_matcher.h"
#include "server/api/turn_store.h"
#include "server/http/http.h"

namespace moraine::server {

enum class StopKind : uint8_t { kNone, kEos, kWord, kLength };  // llama-server's stop_type

struct AnswerForm;

// One of an answer's generations, as far as it has come.
struct Choice {
  uint32_t index = 0;
  int32_t n_prompt = 0;
  std::string text;                // all that may be shown so far
  std::vector<TokenEvent> tokens;  // those of `text`, in order; none unless Plan::keep_tokens
  int32_t n_generated = 0;         // counts the token that ended the turn
  StopKind stop = StopKind::kNone;
  std::string stop_word;
  GenerationStats stats;              // final once `done`; before, times by this machine's clock
  std::vector<std::string> warnings;  // once `done`: what of the form that was asked for is not enforced
  bool done = false;
};

// What became certain at once: some text and the tokens that carry it.
struct Piece {
  std::string text;
  std::vector<TokenEvent> tokens;
};

// An endpoint family's bytes. Called under the answer's lock, on whatever thread has news. The events
// of a stream are whole ("data: {...}\n\n"); an empty string writes nothing.
class Protocol {
 public:
  virtual ~Protocol() = default;
  virtual std::string head() { return ""; }  // before any work: what tells a client that we are here
  virtual std::string progress(const Choice&, int32_t processed, int32_t total, double ms) {
    (void)processed, (void)total, (void)ms;
    return "";
  }
  virtual std::string delta(const Choice& choice, const Piece& piece) = 0;
  virtual std::string finish(const Choice& choice) = 0;
  virtual std::string tail(std::span<const Choice> choices) {
    (void)choices;
    return "";
  }
  virtual std::string error(const ApiError& error) { return "data: " + error_json(error) + "\n\n"; }
  // The body of an answer that is not streamed.
  virtual std::string whole(std::span<const Choice> choices) = 0;
  virtual std::string keep_alive() { return ": ping\n\n"; }
};

// What to generate, settled from a request.
struct Plan {
  std::vector<GenerationRequest> generations;  // one for each choice
  std::vector<std::string> stops;
  bool stream = false;
  bool keep_tokens = false;  // the protocol wants tokens beside the text
  std::vector<TokenId>
      shown_tokens;  // control tokens that are part of the text (calls are written with them)
  // Called with what a choice generated, before its end is told; empty: nobody wants to know.
  std::function<void(GeneratedTurn)> remember;
  std::string note;                        // for the log: what of the prompt is not as it was generated
  std::shared_ptr<const AnswerForm> form;  // what the answer is held to; null: nothing
};

class Answer : public std::enable_shared_from_this<Answer> {
 public:
  // Throws ApiError where nothing was sent yet (queue full). Otherwise returns at once; the answer keeps
  // itself alive through the engine's sinks until it is complete. One whose form is demanded begins when its
  // grammar is compiled, or is refused then.
  static void start(const Call& call, Plan plan, std::unique_ptr<Protocol> protocol);

  Answer(const Call& call, const Plan& plan, std::unique_ptr<Protocol> protocol);  // use start()

 private:
  static void begin(const Call& call, Plan plan, std::unique_ptr<Protocol> protocol);
  using Clock = std::chrono::steady_clock;
  class Sink;
  struct Held {  // a token whose text is not all out yet
    TokenEvent event;
    std::size_t begin, end;  // of its text, in bytes of the generation's text
  };
  struct Track {  // what a choice needs while it runs; parallel to choices_
    Track(std::shared_ptr<const Tokenizer> tokenizer, const std::vector<std::string>& stops,
          std::span<const TokenId> shown)
        : decoder(std::move(tokenizer), {.shown = shown, .text_start = false}), matcher(stops) {}
    std::shared_ptr<Generation> generation;
    StreamDecoder decoder;
    StopMatcher matcher;
    std::deque<Held> held;
    GeneratedTurn turn;             // all of it; empty unless it is to be remembered
    std::size_t decoded_bytes = 0;  // text that came out of the decoder
    std::size_t shown_bytes = 0;    // text that went to the client
    Clock::time_point first_token{};
    int32_t n_read = 0;  // tokens of the prompt that are ready
  };

  void submit(const Call& call, std::vector<GenerationRequest> generations);
  void open();
  void on_progress(uint32_t index, int32_t processed, int32_t total, int32_t cached);
  void on_token(uint32_t index, const TokenEvent& event);
  void on_finish(uint32_t index, FinishReason reason, const GenerationStats& stats);
  void fail(const ApiError& error);
  void client_left();

  // These need mutex_.
  void remember(Track& track);
  void show(uint32_t index, const std::string& text, bool last);
  void send(const std::string& bytes);
  void complete();
  void fail_locked(const ApiError& error);
  void cancel_all();
  RequestTotals totals() const;
  void log_end(const char* how) const;
  void count(const char* how, const RequestTotals& totals) const;

  const Clock::time_point started_ = Clock::now();
  // Never the engine: its sinks own the answer, and the last owner of an engine must not be its own
  // thread. The same holds for protocols.
  const std::shared_ptr<http::Exchange> exchange_;
  const std::shared_ptr<Log> log_;
  const std::shared_ptr<const ApiOptions> options_;
  const std::string model_id_;
  const std::unique_ptr<Protocol> protocol_;
  const bool stream_, keep_tokens_;
  const std::vector<TokenId> shown_tokens_;  // the decoders' view
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::function<void(GeneratedTurn)> remember_;
  const std::string note_;
  const std::vector<TokenId> first_prompt_;  // for the log
  const Clock::time_point start_ = Clock::now();

  chat::AnswerConstraint constraint_;

  std::mutex mutex_;
  std::vector<Choice> choices_;
  std::vector<Track> tracks_;
  std::size_t n_done_ = 0;
  bool open_ = false;      // the head of a stream went out
  std::string backlog_;    // events from before that
  bool over_ = false;      // complete, failed or abandoned: whatever still comes is dropped
  bool answered_ = false;  // reply() or end() was called
};

}  // namespace moraine::server
