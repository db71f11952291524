#include "cache/timeline.h"

#include <algorithm>

#include "base/check.h"

namespace moraine::cache {

constexpr int32_t kPage = plan::kPageTokens;

std::optional<PageRef> Timeline::take_page() {
  for (;;) {
    if (auto page = pool_.take_page()) return page;
    if (!tree_.evict_one()) return std::nullopt;
  }
}

std::optional<StateRef> Timeline::take_state() {
  for (;;) {
    if (auto state = pool_.take_state()) return state;
    if (!tree_.evict_one()) return std::nullopt;
  }
}

void Timeline::stand_on(PrefixTree::Node* node) {
  if (node) tree_.pin(node, 1);
  if (node_) tree_.pin(node_, -1);
  node_ = node;
}

int32_t Timeline::begin(std::span<const TokenId> tokens, bool reuse) {
  release();
  const bool recurrent = pool_.state_bytes() > 0;
  if (recurrent) {
    // Before the match: making room may evict what would have matched.
    auto state = take_state();
    if (!state) return -1;
    state_ = std::move(*state);
  }
  auto spare = take_page();
  if (!spare) {
    release();
    return -1;
  }
  const PrefixTree::Match m = tree_.match(scope_, tokens.first(reuse ? tokens.size() - 1 : 0));
  n_common_ = m.n_common;
  known_next_ = m.known_next;
  stand_on(m.last);
  n_committed_ = m.n_tokens / kPage * kPage;
  pages_.resize(n_committed_ / kPage);
  int32_t i = static_cast<int32_t>(pages_.size());
  for (const PrefixTree::Node* n = m.last; PrefixTree::parent(*n); n = PrefixTree::parent(*n))
    pages_[--i] = PrefixTree::page(*n);
  MORAINE_CHECK(i == 0);
  if (m.in_part) {  // its rest will be written: in a copy
    pool_.copy_page(spare->id(), PrefixTree::page(*m.in_part).id());
    pages_.push_back(std::move(*spare));
  }
  if (m.state >= 0) pool_.copy_state(state_.id(), m.state);
  for (const PageRef& p : pages_) ids_.push_back(p.id());
  return m.n_tokens;
}

bool Timeline::grow_to(int32_t n_tokens) {
  while (static_cast<int32_t>(pages_.size()) < pages_for(n_tokens)) {
    auto page = take_page();
    if (!page) return false;
    ids_.push_back(page->id());
    pages_.push_back(std::move(*page));
  }
  return true;
}

std::span<const TokenId> Timeline::open_page(std::span<const TokenId> tokens) const {
  return tokens.subspan(n_committed_);
}

void Timeline::commit(std::span<const TokenId> tokens) {
  while (static_cast<int32_t>(tokens.size()) >= n_committed_ + kPage) {
    const size_t i = n_committed_ / kPage;
    stand_on(tree_.add_page(node_, tokens.subspan(n_committed_, kPage), pages_[i]));
    ids_[i] = pages_[i].id();  // the same bytes, perhaps another's page
    n_committed_ += kPage;
  }
}

void Timeline::checkpoint(std::span<const TokenId> tokens) {
  if (pool_.state_bytes() == 0 || pool_.state_bytes() > tree_.max_bytes() || tokens.empty()) return;
  commit(tokens);
  // At a page's end the state belongs to that page, whose parent we no longer stand on.
  const bool at_end = static_cast<int32_t>(tokens.size()) == n_committed_;
  if (at_end ? tree_.has_state_at_end(node_) : tree_.has_state(node_, open_page(tokens))) return;
  std::optional<StateRef> copy = take_state();
  if (!copy) return;
  pool_.copy_state(copy->id(), state_.id());
  if (at_end)
    tree_.keep_at_end(node_, std::move(*copy));
  else
    tree_.keep(node_, open_page(tokens), pages_[n_committed_ / kPage], std::move(*copy));
  tree_.trim();
}

void Timeline::finish(std::span<const TokenId> tokens) {
  if (node_ && !tokens.empty()) {
    commit(tokens);
    if (static_cast<int32_t>(tokens.size()) == n_committed_) {
      if (state_) tree_.keep_at_end(node_, std::move(state_));
    } else {
      tree_.keep(node_, open_page(tokens), pages_[n_committed_ / kPage], std::move(state_));
    }
  }
  release();
  tree_.trim();
}

void Timeline::release() noexcept {
  stand_on(nullptr);
  pages_.clear();
  ids_.clear();
  state_ = StateRef();
  n_committed_ = n_common_ = 0;
  known_next_ = -1;
}

}  // namespace moraine::cache
