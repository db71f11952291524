#include "speculation/drafter.h"

#include <algorithm>

namespace moraine::speculation {

void Drafter::propose(std::span<const TokenId> tokens, NgramIndex& earlier, uint64_t scope, int32_t room,
                      int32_t other_rows, Draft& draft) {
  draft.tokens.clear();
  draft.match = 0;
  if (room < least()) return;
  const auto most = static_cast<size_t>(room);
  if (options_.script) {
    draft.source = Source::kScript;
    options_.script(tokens, room, draft.tokens);
    if (draft.tokens.size() > most) draft.tokens.resize(most);
  } else {
    NgramIndex::Match best;
    draft.source = Source::kRequest;
    if (options_.from_request) {
      earlier.append(tokens.subspan(earlier.size()));
      best = earlier.find();
    }
    if (options_.from_history) {
      const auto m = history_.find(scope, tokens);
      if (m.length > best.length) best = m, draft.source = Source::kHistory;
    }
    draft.match = best.length;
    // What is drafted from the end of its own text goes on with itself: a repetition.
    const size_t n = best.next.size();
    const size_t end = best.length == 0 ? 0 : draft.source == Source::kRequest ? most : std::min(n, most);
    for (size_t i = 0; i < end; ++i) draft.tokens.push_back(i < n ? best.next[i] : draft.tokens[i - n]);
  }
  if (options_.always) return;
  const auto available = static_cast<int32_t>(draft.tokens.size());
  draft.tokens.resize(controller_.choose(draft.source, draft.match, available, other_rows));
}

}  // namespace moraine::speculation
