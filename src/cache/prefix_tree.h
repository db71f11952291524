// What was computed before, by its tokens: a tree whose nodes are pages of the KV cache, with the recurrent
// states that were kept along the way. Prompts that begin alike share the nodes of their common part. Owns
// what is found, what is kept, and what goes first when memory is short; how a sequence uses it is
// timeline.h. References: RadixAttention (arXiv 2312.07104), Marconi (arXiv 2411.19379). For one thread.
//
// By the numerics contract a page's bytes follow from the tokens up to its end: who computed it, and in
// whose company, does not matter.
#pragma once

#include <moraine/sampling.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cache/disk_file.h"
#include "cache/memory_pool.h"

namespace moraine::cache {

class PrefixTree {
 public:
  struct Node;  // a page of tokens, or the beginning of one; full pages alone have children

  // Sequences of different scopes share nothing (a scope: who may see whose prompts).
  using Scope = uint64_t;

  explicit PrefixTree(MemoryPool& pool);
  ~PrefixTree();
  PrefixTree(const PrefixTree&) = delete;

  // Bytes to keep for later of what no running sequence uses.
  void set_max_bytes(uint64_t n) { max_bytes_ = n; }
  uint64_t max_bytes() const { return max_bytes_; }
  uint64_t held_bytes() const;  // pages that only the tree refers to, and states

  struct Match {
    int32_t n_tokens = 0;      // so many need no computing: the longest prefix there is a state for
    int32_t n_common = 0;      // so many tokens are known, with a state or without
    TokenId known_next = -1;   // what came after those, where these tokens go on otherwise; -1: nothing did
    Node* last = nullptr;      // of the pages that are used whole, the last one; else the scope's root
    Node* in_part = nullptr;   // the page that holds what n_tokens goes beyond them; null: nothing
    plan::StateId state = -1;  // after n_tokens; -1 where n_tokens is 0 or the model has none
  };
  // Of at most tokens.size() tokens. Counts as a use of what it finds. Good until the tree changes.
  Match match(Scope scope, std::span<const TokenId> tokens);
  // The same as a look only.
  struct Look {
    int32_t n_tokens = 0;
    uint64_t held_bytes = 0;  // of their pages, in those that only the tree refers to
  };
  Look look(Scope scope, std::span<const TokenId> tokens) const;

  // How far the whole pages go that the tree has of these tokens, states or not: the last of them, or the
  // root.
  Node* last_page(Scope scope, std::span<const TokenId> tokens);

  static int32_t end(const Node& node);  // tokens up to its end
  static const PageRef& page(const Node& node);
  static const Node* parent(const Node& node);  // null for a root, which has no page

  // The child of `parent` with these tokens, a whole page, which `page` holds. Where there is one already its
  // page takes the place of `page`. Throws std::bad_alloc.
  Node* add_page(Node* parent, std::span<const TokenId> tokens, PageRef& page);
  // Keeps what follows `parent`: tokens that begin a page (1 to a whole page), the page, and the state after
  // them, if there is one. The sequence whose page it is may go on writing it, beyond these tokens.
  void keep(Node* parent, std::span<const TokenId> tokens, const PageRef& page, StateRef state);
  bool has_state(const Node* parent, std::span<const TokenId> tokens) const;
  // The same for the state at the end of a whole page.
  void keep_at_end(Node* node, StateRef state);
  bool has_state_at_end(const Node* node) const;

  // What is worth a file on disk (prefix_tree_save.cpp), and the memory it lies in.
  struct Piece {
    DiskName name;
    Scope scope = 0;
    std::vector<TokenId> tokens;  // from the first one on
    PageRef page;                 // none where the name has none
    std::shared_ptr<const StateRef> state;
  };
  using OnDisk = std::function<bool(const DiskName&)>;
  // The next one that is not there yet: what was used last first, beginnings before what follows them; of
  // states and pages in part those kept before `kept_by`. Each is given out once, until it is used again.
  // `superseded` are states on disk that newer ones have made worthless.
  std::optional<Piece> next_to_save(const OnDisk& on_disk, std::chrono::steady_clock::time_point kept_by,
                                    std::vector<DiskName>& superseded);

  // What the tree has of these tokens, held: n_tokens of them, up to a state where there must be one.
  struct Held {
    int32_t n_tokens = 0;
    std::vector<PageRef> pages;
    bool last_in_part = false;  // of the last page less than the whole counts, and others may write the rest
    std::shared_ptr<const StateRef> state;
  };
  Held hold(Scope scope, std::span<const TokenId> tokens);

  // A sequence stands on this node: neither it nor what leads to it is evicted.
  void pin(Node* node, int change);

  // Gives up what is worth least: what would be quickest to compute again, for its bytes, and was not used
  // for longest. False: nothing is left that no sequence stands on.
  bool evict_one();
  void trim();   // down to max_bytes
  void clear();  // all that no sequence stands on
  // Gives up what lies on these tokens' path and on no other, as far as no sequence stands there.
  void forget(Scope scope, std::span<const TokenId> tokens);

 private:
  struct Found;
  Found find(const Node* root, std::span<const TokenId> tokens) const;
  Node* root(Scope scope);
  Node* child_for(Node* parent, std::span<const TokenId> tokens, PageRef& page);
  void remove(Node* node);
  void mark_superseded();
  int32_t tokens_to_replay(const Node& node, size_t checkpoint) const;

  MemoryPool& pool_;
  uint64_t max_bytes_ = 0;
  uint64_t clock_ = 0;                        // sequences that began so far
  std::vector<std::unique_ptr<Node>> nodes_;  // flat: a conversation is a chain of thousands
  std::vector<std::pair<Scope, Node*>> roots_;
};

}  // namespace moraine::cache
