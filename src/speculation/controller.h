// Decides whose draft a step verifies and how much of it, from what steps and drafts cost and how often
// drafts held: the choice that makes the most tokens a second, or none where plain decoding is as good. One
// for an engine. The formulas and what was measured: docs/speculation.md.
#pragma once

#include <array>
#include <cstdint>

#include "speculation/step_costs.h"

namespace moraine::speculation {

enum class Source : uint8_t { kRequest, kHistory, kGrammar, kModel, kScript };
constexpr int kNumSources = 5;
const char* name_of(Source s);  // "request", "history", "grammar", "model", "script"

// What a step holds beside the sequence in question.
struct Beside {
  int32_t rows = 0;
  int32_t sequences = 0;
};

// A draft that could be had.
struct Offer {
  Source source = Source::kRequest;
  int32_t match = 0;      // tokens before the draft that agreed with where it comes from
  int32_t available = 0;  // tokens
  // Of a model: what it takes before its first token and for each, and how many sequences it drafts for at
  // the same time, this one included.
  double begin_seconds = 0, token_seconds = 0;
  double once_seconds = 0;  // beyond that, what is spent now and pays for many drafts
  int32_t sharers = 1;
};

class Controller {
 public:
  // least: shorter drafts are not used.
  explicit Controller(int32_t most_rows, int32_t least = 1) : least_(least), costs_(most_rows) {}

  // A step of so many rows that only decoded took so long.
  void measured(int32_t rows, double seconds);
  double cost(int32_t rows) const { return costs_.of(rows); }

  struct Choice {
    int32_t length = 0;     // drafted tokens to verify; 0: none
    double gain = 1;        // tokens a second against plain decoding
    bool is_probe = false;  // it does not pay by what is known, and is tried to know more
  };
  // The best use of an offer, which may be none; it commits to nothing.
  Choice best(const Offer& offer, Beside beside) const;
  // Where nothing pays: whether to try an offer all the same. Probes take 2% of steps and of time at most,
  // and fewer where they fail.
  Choice probe(const Offer& offer, Beside beside);

  // The gain of the best length, be it below plain decoding: by what is known, or were all its tokens to
  // hold.
  double gain(const Offer& offer, Beside beside) const;
  double most_gain(const Offer& offer, Beside beside) const;

  // Of `drafted` tokens the first `accepted` held.
  void outcome(Source source, int32_t match, int32_t drafted, int32_t accepted);
  // An answer is complete: the next text may be of another kind. Earlier trials of copied text count for a
  // few, and where they were bad what is assumed of any text counts again; a model's go on, which depend less
  // on the text and are dearer to find out.
  void text_ended();
  // A model was asked for `wanted` tokens, and was sure of the first `drafted`.
  void drafted_by_model(int32_t wanted, int32_t drafted);

  // The chance that a drafted token holds, those before it having held: which lengthens what agreed.
  double acceptance(Source source, int32_t match) const;
  int64_t trials(Source source) const { return trials_[static_cast<int>(source)]; }
  int64_t steps() const { return steps_; }

 private:
  static constexpr int kClasses = 4;  // of match lengths
  static int class_of(Source source, int32_t match);
  // Of trials, older ones of which count less and less.
  struct Chance {
    explicit Chance(double prior = 0.5) : prior(prior) {}
    double prior, held = 0, tried = 0;
    static constexpr double kPriorTrials = 4;
    double assumed = kPriorTrials;  // trials that the prior counts for, to be forgotten like all others
    double rate() const { return rate(prior); }
    double rate(double prior) const { return (held + assumed * prior) / (tried + assumed); }
    void tell(bool yes);
    // So many of the trials before; where they were worse than the prior, that again.
    void start_anew(double most_trials);
  };
  struct Part {
    Chance chance;
    int32_t rest = 0;       // offers to pass over before the next probe
    int32_t interval = 64;  // between probes; doubles while they fail
    double probing = 0;     // seconds at stake in a probe whose outcome is not known yet
  };
  using Parts = std::array<std::array<Part, kClasses>, kNumSources>;
  const Part& part(Source s, int32_t match) const { return parts_[static_cast<int>(s)][class_of(s, match)]; }
  Part& part(Source s, int32_t match) { return parts_[static_cast<int>(s)][class_of(s, match)]; }
  bool needs_plain_step(Beside beside) const;
  // f(length, gain, seconds) for each length of the offer, by what is known or as if all its tokens held.
  template <class F>
  void each_length(const Offer& offer, Beside beside, bool all_hold, F&& f) const;

  int32_t least_;
  StepCosts costs_;
  Parts parts_ = initial();
  static Parts initial();
  Chance is_sure_{0.8};  // the draft model, of its next token
  std::array<int64_t, kNumSources> trials_{};
  int64_t steps_ = 0, probes_ = 0;
  double total_seconds_ = 0, probe_seconds_ = 0;
};

}  // namespace moraine::speculation
