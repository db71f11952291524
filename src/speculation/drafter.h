// Guesses what a sequence goes on with, from the drafters that need no model, and how much of it to verify.
// One for an engine, on its thread.
#pragma once

#include <moraine/engine.h>

#include "speculation/controller.h"
#include "speculation/history.h"

namespace moraine::speculation {

struct Draft {
  std::vector<TokenId> tokens;
  Source source = Source::kRequest;
  int32_t match = 0;  // tokens before it that agreed with where it comes from
};

class Drafter {
 public:
  // most_rows: of a step that decodes.
  Drafter(const SpeculationOptions& options, int32_t most_rows) : options_(options), controller_(most_rows) {}

  // At most `room` tokens that might follow `tokens`, as many as are worth their rows beside other_rows of
  // the step; often none. earlier: an index of the same tokens, which is brought up to date.
  void propose(std::span<const TokenId> tokens, NgramIndex& earlier, uint64_t scope, int32_t room,
               int32_t other_rows, Draft& draft);
  int32_t least() const { return options_.min_draft > 1 ? options_.min_draft : 1; }

  // A step that only decoded; what became of a draft of so many tokens; an answer that is complete.
  void measured(int32_t rows, double seconds) { controller_.measured(rows, seconds); }
  void outcome(const Draft& d, int32_t drafted, int32_t accepted) {
    controller_.outcome(d.source, d.match, drafted, accepted);
  }
  void remember(uint64_t scope, std::span<const TokenId> output) {
    if (options_.from_history && options_.max_draft > 0) history_.add(scope, output);
  }

 private:
  SpeculationOptions options_;
  Controller controller_;
  History history_;
};

}  // namespace moraine::speculation
