// One sequence's tokens as they lie in memory: pages by position and the recurrent state after the last
// computed token. It begins where the prefix tree leaves off, and everything it computes goes back there:
// whole pages at once, states where they are wanted, the rest when it ends. For one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/prefix_tree.h"

namespace moraine::cache {

class Timeline {
 public:
  Timeline(MemoryPool& pool, PrefixTree& tree, PrefixTree::Scope scope)
      : pool_(pool), tree_(tree), scope_(scope) {}
  ~Timeline() { release(); }
  Timeline(const Timeline&) = delete;

  // Takes up what is known of these tokens' beginning, unless all is to be computed anew. Returns how many
  // need no computing: fewer than all, so that there is a row to draw from. -1: memory is short, even after
  // everything unused was given up; nothing is held then. Throws Error{kDeviceLost}.
  int32_t begin(std::span<const TokenId> tokens, bool reuse = true);
  int32_t n_common() const { return n_common_; }      // of them, known: what lies beyond lacked a state
  TokenId known_next() const { return known_next_; }  // see PrefixTree::Match

  // Room for n_tokens tokens. False: as above; what is held stays.
  bool grow_to(int32_t n_tokens);

  std::span<const plan::PageId> pages() const { return ids_; }
  plan::StateId state() const { return state_.id(); }

  // tokens are computed: whole pages join the tree.
  void commit(std::span<const TokenId> tokens);
  // Keeps the state after `tokens`, all that is computed, for whoever comes back to it. Where memory is
  // short it is not kept. Nothing to do for models without state.
  void checkpoint(std::span<const TokenId> tokens);
  // The end: what is computed is left to the tree, the state with it, and nothing is held any more.
  void finish(std::span<const TokenId> tokens);
  void release() noexcept;  // gives everything up; what the tree has stays there

 private:
  std::optional<PageRef> take_page();
  std::optional<StateRef> take_state();
  std::span<const TokenId> open_page(std::span<const TokenId> tokens) const;  // those after the whole pages
  void stand_on(PrefixTree::Node* node);

  MemoryPool& pool_;
  PrefixTree& tree_;
  PrefixTree::Scope scope_;
  std::vector<PageRef> pages_;
  std::vector<plan::PageId> ids_;  // of pages_
  StateRef state_;
  PrefixTree::Node* node_ = nullptr;  // of the whole pages the tree has, the last; pinned
  int32_t n_committed_ = 0;           // tokens up to it
  int32_t n_common_ = 0;
  TokenId known_next_ = -1;
};

}  // namespace moraine::cache
