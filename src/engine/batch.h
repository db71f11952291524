// The rows of one step, in room that is kept from step to step.
#pragma once

#include <vector>

#include "engine/sequence.h"

namespace moraine::engine {

struct Batch {
  struct Part {
    Sequence* sequence;
    int32_t n_rows;
    int32_t output;  // index of its logits row, or -1
  };
  std::vector<Part> parts;
  std::vector<TokenId> tokens;
  std::vector<int32_t> positions, sequences, outputs;
  std::vector<std::span<const plan::PageId>> tables;
  std::vector<plan::StateId> states;
  int32_t prefill_rows = 0;

  void clear() {
    parts.clear(), tokens.clear(), positions.clear(), sequences.clear(), outputs.clear(), tables.clear();
    states.clear();
    prefill_rows = 0;
  }
  void add(Sequence& s, int32_t n) {
    const auto index = static_cast<int32_t>(tables.size());
    tables.push_back(s.pages());
    states.push_back(s.state());
    for (int32_t i = 0; i < n; ++i) {
      tokens.push_back(s.token(s.computed() + i));
      positions.push_back(s.computed() + i);
      sequences.push_back(index);
    }
    int32_t output = -1;
    if (s.wants_logits_after(n)) {
      output = static_cast<int32_t>(outputs.size());
      outputs.push_back(static_cast<int32_t>(tokens.size()) - 1);
    }
    parts.push_back({&s, n, output});
  }
  plan::Step step() const { return {tokens, positions, sequences, outputs, tables, states}; }
};

}  // namespace moraine::engine
