// What of the tree is worth a file on disk. Whole pages all are: some 24 KB a token, written once. A state is
// large and soon overtaken by the next turn's, so that only those are written that somebody will come back to
// after a restart: the first of a conversation, one every 4,096 tokens, and the last ones of each branch, and
// these only when they have stood for a while.
#include <algorithm>

#include "cache/prefix_tree_node.h"

namespace moraine::cache {
namespace {

constexpr int32_t kPage = plan::kPageTokens;
constexpr int32_t kAnchorTokens = 4096;  // most that is computed again after a restart for want of a state
constexpr int32_t kNearTokens = 64;  // so close behind another a state is worth its file as the last one only

}  // namespace

// Of each state: whether others follow it on its branch. Three are left alone: an answer's end, its prompt's,
// and the beginning of the last message, to which a template may go back.
void PrefixTree::mark_superseded() {
  struct Place {
    Node* node;
    size_t i;
  };
  const auto before = [](Place p) -> std::optional<Place> {
    if (p.i > 0) return Place{p.node, p.i - 1};
    for (Node* n = p.node->parent; n; n = n->parent)
      if (!n->checkpoints.empty()) return Place{n, n->checkpoints.size() - 1};
    return std::nullopt;
  };
  for (const auto& node : nodes_)
    for (auto& c : node->checkpoints) c.followed = c.superseded = false;
  for (const auto& node : nodes_)
    for (size_t i = 0; i < node->checkpoints.size(); ++i) {
      auto p = before({node.get(), i});
      if (p) p->node->checkpoints[p->i].followed = true;
      if (p) p = before(*p);
      if (p) p = before(*p);
      if (p) p->node->checkpoints[p->i].superseded = true;
    }
}

std::optional<PrefixTree::Piece> PrefixTree::next_to_save(const OnDisk& on_disk,
                                                          std::chrono::steady_clock::time_point kept_by,
                                                          std::vector<DiskName>& superseded) {
  const bool recurrent = pool_.state_bytes() > 0;
  if (recurrent) mark_superseded();
  Node* best = nullptr;
  Node::Checkpoint* best_state = nullptr;
  int32_t best_end = 0;
  const auto consider = [&](Node* node, Node::Checkpoint* state, int32_t end, uint64_t used,
                            uint64_t saved_at) {
    if (saved_at > 0 && saved_at >= used) return;
    const uint64_t best_used = best_state ? best_state->used : best ? best->used : 0;
    if (best && (used < best_used || (used == best_used && end >= best_end))) return;
    best = node, best_state = state, best_end = end;
  };
  const auto page_name = [](const Node& n) { return DiskName{n.parent->key, n.key, n.size(), false}; };
  const auto state_name = [](const Node& n, const Node::Checkpoint& c) {
    const bool whole = c.offset == n.size();
    const DiskKey key = whole ? n.key : next_key(n.parent->key, std::span(n.tokens).first(c.offset));
    return DiskName{n.parent->key, key, c.offset, true};
  };
  for (const auto& owned : nodes_) {
    Node* n = owned.get();
    if (!n->parent || (n->parent->parent && !on_disk(page_name(*n->parent)))) continue;
    const bool whole = n->size() == kPage;
    const bool page_there = on_disk(page_name(*n));
    // A page that is not full is still being written, unless the tree alone has it.
    if (!page_there && (whole || (!recurrent && n->kept <= kept_by && n->page.unique())))
      consider(n, nullptr, n->end(), n->used, n->saved_at);
    int32_t before = -1;  // where the state before lies; looked for once it is needed
    for (size_t i = 0; i < n->checkpoints.size(); ++i) {
      Node::Checkpoint& c = n->checkpoints[i];
      const int32_t at = n->depth + c.offset;
      before = i > 0 ? n->depth + n->checkpoints[i - 1].offset : at - tokens_to_replay(*n, 0);
      const bool anchor = at % kAnchorTokens == 0 || before == 0;
      const bool wanted = anchor || !c.followed || (!c.superseded && at - before >= kNearTokens);
      const DiskName name = state_name(*n, c);
      if (on_disk(name)) {
        if (!anchor && c.superseded) superseded.push_back(name);
        continue;
      }
      if (!wanted || c.kept > kept_by) continue;
      if (c.offset == kPage ? !page_there : !(whole || n->page.unique())) continue;
      consider(n, &c, at, c.used, c.saved_at);
    }
  }
  if (!best) return std::nullopt;
  Piece piece;
  piece.name = best_state ? state_name(*best, *best_state) : page_name(*best);
  piece.scope = best->scope;
  piece.tokens.resize(best_end);
  for (const Node* n = best; n->parent; n = n->parent)
    std::copy_n(n->tokens.begin(), std::min(n->size(), best_end - n->depth), piece.tokens.begin() + n->depth);
  if (piece.name.has_page()) piece.page = best->page;
  if (best_state) piece.state = best_state->state;
  (best_state ? best_state->saved_at : best->saved_at) = std::max<uint64_t>(1, clock_);
  return piece;
}

}  // namespace moraine::cache
