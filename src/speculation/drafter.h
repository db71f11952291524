// Guesses what a sequence goes on with, from the drafters that need no model, and decides whose guess is
// verified and how much of it. A draft model is asked elsewhere (engine/model_drafter.h): here it is an offer
// among others. One for an engine, on its thread.
#pragma once

#include <moraine/engine.h>

#include <array>
#include <optional>

#include "speculation/controller.h"
#include "speculation/history.h"

namespace moraine::speculation {

struct Draft {
  std::vector<TokenId> tokens;
  Source source = Source::kRequest;
  int32_t match = 0;   // tokens before it that agreed with where it comes from
  int32_t wanted = 0;  // of a model: tokens that it is to say
};

// What a draft is wanted for.
struct Place {
  std::span<const TokenId> tokens;  // of the sequence so far
  NgramIndex& earlier;              // of the same tokens, which is brought up to date
  uint64_t scope = 0;
  TokenConstraint* constraint = nullptr;  // null: none
  int32_t room = 0;                       // tokens a draft may have
  Beside beside;                          // in the step
  std::optional<Offer> model;             // of the draft model
};

class Drafter {
 public:
  // most_rows: of a step that decodes.
  Drafter(const SpeculationOptions& options, int32_t most_rows)
      : options_(options), controller_(most_rows, least()) {}

  // Tokens that might follow, as many as are worth their rows in the step, or a wish to ask the draft model;
  // often neither.
  void propose(const Place& place, Draft& draft);
  int32_t least() const { return options_.min_draft > 1 ? options_.min_draft : 1; }

  // A step that only decoded; what became of a draft of so many tokens; an answer that is complete.
  void measured(int32_t rows, double seconds) { controller_.measured(rows, seconds); }
  void outcome(const Draft& d, int32_t drafted, int32_t accepted);
  void remember(uint64_t scope, std::span<const TokenId> output) {
    controller_.text_ended();
    if (options_.from_history && options_.max_draft > 0) history_.add(scope, output);
  }

  Controller& controller() { return controller_; }
  std::vector<DrafterStats> stats() const;  // of those that may draft

 private:
  struct Guess {
    Offer offer;
    std::span<const TokenId> next;
  };
  std::optional<Guess> from_text(const Place& place);
  std::optional<Guess> from_grammar(const Place& place);
  void run_script(const Place& place, Draft& draft);

  SpeculationOptions options_;
  Controller controller_;
  History history_;
  std::array<DrafterStats, kNumSources> counts_;
};

}  // namespace moraine::speculation
