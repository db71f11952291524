// A node of the prefix tree, for its two sources alone: prefix_tree.cpp finds, keeps and evicts,
// prefix_tree_save.cpp says what is worth a file on disk.
#pragma once

#include <algorithm>
#include <chrono>

#include "cache/prefix_tree.h"

namespace moraine::cache {

struct PrefixTree::Node {
  struct Checkpoint {
    int32_t offset;                         // tokens of this node that the state has seen, 1 to a page
    std::shared_ptr<const StateRef> state;  // shared with who is writing it to disk
    uint64_t used;
    std::chrono::steady_clock::time_point kept;
    uint64_t saved_at = 0;    // the tree's clock when it was last given out to be saved; 0: never
    bool followed = false;    // another state comes after it; of these two, prefix_tree_save.cpp
    bool superseded = false;  // three do, one behind the other
  };

  Node* parent = nullptr;  // null: a scope's root
  size_t index = 0;        // in nodes_
  int32_t depth = 0;       // tokens before this node's
  std::vector<TokenId> tokens;
  PageRef page;
  std::vector<Checkpoint> checkpoints;  // by offset
  std::vector<Node*> children;
  int pins = 0;
  uint64_t used = 0;
  Scope scope = 0;
  DiskKey key;  // of all tokens up to here
  std::chrono::steady_clock::time_point kept;
  uint64_t saved_at = 0;  // as a checkpoint's

  int32_t size() const { return static_cast<int32_t>(tokens.size()); }
  int32_t end() const { return depth + size(); }
  int32_t common(std::span<const TokenId> other) const {
    const size_t n = std::min(tokens.size(), other.size());
    return static_cast<int32_t>(std::mismatch(tokens.begin(), tokens.begin() + n, other.begin()).first -
                                tokens.begin());
  }
  void add_checkpoint(int32_t offset, StateRef state, uint64_t used_now) {
    const auto at = std::lower_bound(checkpoints.begin(), checkpoints.end(), offset,
                                     [](const Checkpoint& a, int32_t o) { return a.offset < o; });
    if (at != checkpoints.end() && at->offset == offset) return;
    checkpoints.insert(at, {offset, std::make_shared<StateRef>(std::move(state)), used_now,
                            std::chrono::steady_clock::now()});
  }
};

}  // namespace moraine::cache
