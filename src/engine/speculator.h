// Guessing ahead for the sequences of a step: asks the drafters (speculation/drafter.h) and, where they say
// so, the draft model, and tells the user once what the draft model is good for. One for an engine, on its
// thread.
#pragma once

#include <moraine/engine.h>

#include <memory>
#include <span>
#include <vector>

#include "engine/model_drafter.h"
#include "speculation/drafter.h"

namespace moraine::engine {

class Speculator {
 public:
  // model: null: none.
  Speculator(const EngineOptions& options, std::unique_ptr<ModelDrafter> model);

  ModelDrafter* model() { return model_.get(); }
  // Fills the drafts of all that decode in the next step, whose rows are at most max_rows; many stay empty.
  void draft(std::span<const std::shared_ptr<Sequence>> decoding, int32_t max_rows);
  // A step that only decoded; what became of a sequence's draft; a sequence that takes no further steps.
  void measured(int32_t rows, double seconds) { drafter_.measured(rows, seconds); }
  void outcome(Sequence& s, int32_t drafted, int32_t accepted);
  void forget(const Sequence& s) {
    if (model_) model_->forget(s);
  }
  void remember(uint64_t scope, std::span<const TokenId> output);

  std::vector<DrafterStats> stats() const { return drafter_.stats(); }

 private:
  std::optional<speculation::Offer> offer_of(const Sequence& s, int32_t room, int32_t n_decoding);
  void ask_model(std::vector<Sequence*> sequences);
  void tell_verdict();

  SpeculationOptions options_;
  std::function<void(const std::string&)> on_notice_;
  std::unique_ptr<ModelDrafter> model_;
  speculation::Drafter drafter_;
  double usual_tokens_ = 0;  // of an answer, a moving average
  int32_t idle_steps_ = 0;   // since the draft model was asked
  bool has_verdict_ = false;
};

}  // namespace moraine::engine
