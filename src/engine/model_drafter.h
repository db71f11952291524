// The draft model of -md: guesses by a small model what the large one will say. It looks back on the latest
// tokens alone, in a window for each of a few sequences: private memory, positions from 0, filled when a
// draft is first wanted and built anew from its later half when it is full. What it guesses is drawn with the
// sampler and the noise of the sequence itself, so that it agrees wherever the two models do.
//
// Whether and how much it drafts is decided elsewhere (speculator.h). On the engine's thread.
#pragma once

#include <moraine/engine.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/memory_pool.h"
#include "engine/draft_vocabulary.h"
#include "engine/prepared.h"
#include "engine/sequence.h"
#include "speculation/step_costs.h"

namespace moraine::engine {

class ModelDrafter {
 public:
  // From the headers, those of the model it drafts for included. Null where no draft model is asked for.
  // Throws Error for a file that cannot be read or run, or speaks of other tokens.
  static std::unique_ptr<ModelDrafter> open(const EngineOptions& options);

  const std::string& name() const { return name_; }
  uint64_t bytes() const;                                           // all that it takes
  uint64_t device_bytes() const;                                    // of them, on a GPU: at most
  const std::vector<std::string>& notes() const { return notes_; }  // one sentence each, for the user
  // Reads the weights, and measures what its steps take. Throws Error.
  void load(const ProgressFn& progress);

  int32_t n_windows() const { return static_cast<int32_t>(windows_.size()); }
  // What drafting for a sequence would take. Nothing where others have all the windows.
  struct Cost {
    int32_t rows = 0;          // tokens to read before the first can be drafted
    double begin_seconds = 0;  // for all but one of them
    double token_seconds = 0;  // for each drafted token, `sharers` sequences together
  };
  std::optional<Cost> cost(const Sequence& s, int32_t sharers) const;

  double token_seconds() const { return costs_.of(1) + guess_seconds_; }  // of one drafted token, alone
  // Guesses at most draft().wanted tokens for each of these, fewer where it is not sure. Returns those it
  // guessed for: where there is still more to read than one step should wait for, that goes first. Throws
  // Error{kDeviceLost, kOutOfMemory}: it is of no use any more.
  std::vector<Sequence*> draft(std::span<Sequence* const> sequences);
  void forget(const Sequence& s);
  // Runs a step for nobody, to see what it takes. Throws as draft() does.
  void measure(int32_t n_rows);

 private:
  ModelDrafter(const EngineOptions& options, EngineOptions own);

  // The tokens of a sequence from `begin` on that its memory holds.
  struct Window {
    const Sequence* owner = nullptr;  // null: free
    int64_t last_used = 0;            // round
    int32_t begin = 0;                // its position 0, in the sequence
    std::vector<TokenId> tokens;
    std::vector<cache::PageRef> pages;
    std::vector<plan::PageId> ids;  // of pages
    // Of a model with recurrent layers: as it is after `tokens`, and after what was guessed beyond them.
    cache::StateRef state, ahead;
  };
  // Where a window must begin for the next draft, and how many of its tokens stay.
  struct Fit {
    int32_t begin, n_kept;
  };
  // One sequence in a round.
  struct Run {
    Sequence* sequence;
    Window* window;
    sampling::Sampler sampler;
    std::vector<TokenId> rows;  // of the next step
    bool active = true;
  };
  Fit fit(const Window& w, const Sequence& s) const;
  Window* window_of(const Sequence& s);
  bool read_up(Window& w, std::span<const TokenId> tokens);
  void compute(std::span<Run* const> runs, bool wants_logits, bool ahead);
  void guess(Run& run, std::span<const float> logits);

  EngineOptions own_;  // as of an engine that runs the draft model alone
  std::string name_;
  std::vector<std::string> notes_;
  float p_min_;
  double slice_seconds_;
  int32_t window_tokens_, n_vocab_;
  Prepared prepared_;
  DraftVocabulary vocabulary_;
  cache::MemoryPool pool_;
  speculation::StepCosts costs_;
  std::vector<Window> windows_;
  int64_t logits_stride_;
  std::unique_ptr<float[]> logits_;
  double guess_seconds_ = 0;  // of drawing one token
  int64_t round_ = 0;
};

// Options for the model beside what its draft takes; and the estimate made by them, with the draft in it.
EngineOptions beside_draft(EngineOptions options, const ModelDrafter* draft);
void count_draft(MemoryEstimate& estimate, const ModelDrafter* draft);

}  // namespace moraine::engine
