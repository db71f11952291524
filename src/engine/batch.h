// The rows of one step, in room that is kept from step to step.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/sequence.h"

namespace moraine::engine {

struct Batch {
  struct Part {
    Sequence* sequence;
    int32_t n_rows;     // the last ones drafted, if any
    int32_t output;     // index of its first logits row, or -1
    int32_t n_outputs;  // one, and one for each drafted token
  };
  std::vector<Part> parts;
  std::vector<TokenId> tokens;
  std::vector<int32_t> positions, sequences, outputs;
  std::vector<std::span<const plan::PageId>> tables;
  std::vector<plan::StateId> states;
  std::vector<int32_t> tentative, kept;  // drafted rows by sequence, and those of them that held
  int32_t prefill_rows = 0;

  void clear() {
    parts.clear(), tokens.clear(), positions.clear(), sequences.clear(), outputs.clear(), tables.clear();
    states.clear(), tentative.clear(), kept.clear();
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
    const auto n_drafted = static_cast<int32_t>(s.draft().tokens.size());
    tentative.push_back(n_drafted);
    kept.push_back(0);
    Part part{&s, n, -1, 0};
    if (s.wants_logits_after(n - n_drafted)) {
      part.output = static_cast<int32_t>(outputs.size());
      part.n_outputs = 1 + n_drafted;
      for (int32_t i = n_drafted; i >= 0; --i) outputs.push_back(static_cast<int32_t>(tokens.size()) - 1 - i);
    }
    parts.push_back(part);
  }
  bool drafts() const {
    return std::any_of(tentative.begin(), tentative.end(), [](int32_t n) { return n > 0; });
  }
  plan::Step step() const {
    plan::Step s{tokens, positions, sequences, outputs, tables, states};
    if (drafts()) s.tentative = tentative;
    return s;
  }
};

}  // namespace moraine::engine
