#include "speculation/history.h"

#include <algorithm>

namespace moraine::speculation {
namespace {

constexpr TokenId kEnd = -1;  // between two outputs: no token, so nothing drafts across it

}  // namespace

History::Scope* History::scope(uint64_t id) {
  const auto it = std::find_if(scopes_.begin(), scopes_.end(), [&](const Scope& s) { return s.id == id; });
  if (it == scopes_.end()) return nullptr;
  scopes_.splice(scopes_.begin(), scopes_, it);
  return &scopes_.front();
}

void History::add(uint64_t id, std::span<const TokenId> output) {
  const auto room = static_cast<size_t>(most_tokens_ / 2 - 1);
  if (output.size() > room) output = output.last(room);
  if (static_cast<int32_t>(output.size()) <= NgramIndex::kShortest) return;
  Scope* s = scope(id);
  if (s == nullptr) {
    if (static_cast<int32_t>(scopes_.size()) >= most_scopes_) scopes_.pop_back();
    scopes_.push_front({id, {}});
    s = &scopes_.front();
  }
  if (s->index.size() + static_cast<int32_t>(output.size()) >= most_tokens_) {
    NgramIndex later;
    later.append(s->index.tokens().last(std::min(s->index.size(), most_tokens_ / 2)));
    s->index = std::move(later);
  }
  s->index.append(output);
  s->index.append(kEnd);
}

NgramIndex::Match History::find(uint64_t id, std::span<const TokenId> context) {
  Scope* s = scope(id);
  if (s == nullptr) return {};
  NgramIndex::Match m = s->index.find(context);
  m.next = m.next.first(std::find(m.next.begin(), m.next.end(), kEnd) - m.next.begin());
  if (m.next.empty()) m.length = 0;
  return m;
}

}  // namespace moraine::speculation
