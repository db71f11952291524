#include "cache/prefix_tree.h"

#include <algorithm>

#include "base/check.h"
#include "cache/prefix_tree_node.h"

namespace moraine::cache {

constexpr int32_t kPage = plan::kPageTokens;

struct PrefixTree::Found {
  int32_t n_tokens = 0, n_common = 0;
  TokenId known_next = -1;
  Node* node = nullptr;  // holds the last of n_tokens
  Node::Checkpoint* checkpoint = nullptr;
};

PrefixTree::PrefixTree(MemoryPool& pool) : pool_(pool) {}
PrefixTree::~PrefixTree() = default;

int32_t PrefixTree::end(const Node& node) { return node.end(); }
const PageRef& PrefixTree::page(const Node& node) { return node.page; }
const PrefixTree::Node* PrefixTree::parent(const Node& node) { return node.parent; }

PrefixTree::Node* PrefixTree::root(Scope scope) {
  for (const auto& [s, node] : roots_)
    if (s == scope) return node;
  auto node = std::make_unique<Node>();
  node->index = nodes_.size();
  node->pins = 1;  // a root stays
  node->scope = scope;
  node->key = root_key(scope);
  roots_.emplace_back(scope, node.get());
  nodes_.push_back(std::move(node));
  return roots_.back().second;
}

// Down the tree as far as the tokens go, looking at every child that begins like them: it is the deepest
// state that counts, and it may lie on another page than the longest match.
PrefixTree::Found PrefixTree::find(const Node* root, std::span<const TokenId> tokens) const {
  const bool recurrent = pool_.state_bytes() > 0;
  Found f;
  for (const Node* node = root; node;) {
    const auto rest = tokens.subspan(node->end());
    const Node* next = nullptr;
    const Node* nearest = nullptr;  // the child that agrees furthest, of equals the one used last
    int32_t nearest_n = 0;
    for (Node* child : node->children) {
      const int32_t n = child->common(rest);
      if (!nearest || n > nearest_n || (n == nearest_n && child->used > nearest->used))
        nearest = child, nearest_n = n;
      if (n == 0) continue;
      f.n_common = std::max(f.n_common, child->depth + n);
      if (n == kPage) next = child;
      if (!recurrent && child->depth + n > f.n_tokens) {
        f.n_tokens = child->depth + n;
        f.node = child;
      }
      for (Node::Checkpoint& c : child->checkpoints) {
        if (c.offset > n || child->depth + c.offset <= f.n_tokens) continue;
        f.n_tokens = child->depth + c.offset;
        f.node = child, f.checkpoint = &c;
      }
    }
    if (nearest && nearest_n < nearest->size() && static_cast<size_t>(nearest_n) < rest.size())
      f.known_next = nearest->tokens[nearest_n];
    node = next;
  }
  return f;
}

PrefixTree::Node* PrefixTree::last_page(Scope scope, std::span<const TokenId> tokens) {
  for (Node* node = root(scope);;) {
    const auto rest = tokens.subspan(node->end());
    const auto& c = node->children;
    const auto next =
        std::find_if(c.begin(), c.end(), [&](const Node* n) { return n->common(rest) == kPage; });
    if (next == c.end()) return node;
    node = *next;
  }
}

PrefixTree::Match PrefixTree::match(Scope scope, std::span<const TokenId> tokens) {
  Match m;
  m.last = root(scope);
  const Found f = find(m.last, tokens);
  m.n_tokens = f.n_tokens;
  m.n_common = f.n_common;
  m.known_next = f.known_next;
  ++clock_;
  if (!f.node) return m;
  for (Node* n = f.node; n; n = n->parent) n->used = clock_;
  if (f.checkpoint) {
    f.checkpoint->used = clock_;
    m.state = f.checkpoint->state->id();
  }
  if (f.n_tokens == f.node->depth + kPage) {
    m.last = f.node;
  } else {
    m.last = f.node->parent;
    m.in_part = f.node;
  }
  return m;
}

PrefixTree::Held PrefixTree::hold(Scope scope, std::span<const TokenId> tokens) {
  const Found f = find(root(scope), tokens);
  Held h;
  h.n_tokens = f.n_tokens;
  h.last_in_part = f.n_tokens % kPage != 0;
  for (const Node* n = f.node; n && n->parent; n = n->parent) h.pages.push_back(n->page);
  std::reverse(h.pages.begin(), h.pages.end());
  if (f.checkpoint) h.state = f.checkpoint->state;
  return h;
}

PrefixTree::Look PrefixTree::look(Scope scope, std::span<const TokenId> tokens) const {
  Look l;
  for (const auto& [s, root] : roots_) {
    if (s != scope) continue;
    const Found f = find(root, tokens);
    l.n_tokens = f.n_tokens;
    // The page used in part is copied: it stays the tree's to give.
    const bool whole = f.node && f.n_tokens == f.node->depth + kPage;
    for (const Node* n = whole || !f.node ? f.node : f.node->parent; n && n->parent; n = n->parent)
      if (n->page.unique()) l.held_bytes += pool_.page_bytes();
  }
  return l;
}

// The child of `parent` that begins with these tokens: one that is there, or the beginning of it (which then
// grows: it takes the longer sequence's page, and keeps its states), or a new one.
PrefixTree::Node* PrefixTree::child_for(Node* parent, std::span<const TokenId> tokens, PageRef& page) {
  const auto n = static_cast<int32_t>(tokens.size());
  MORAINE_CHECK(n > 0 && n <= kPage && (!parent->parent || parent->size() == kPage));
  Node* found = nullptr;
  bool changed = true;
  for (Node* child : parent->children) {
    const int32_t common = child->common(tokens);
    if (common == n) {
      page = child->page;
      found = child;
      changed = false;
      break;
    }
    if (common == child->size()) found = child;
  }
  if (!found) {
    auto node = std::make_unique<Node>();
    parent->children.reserve(parent->children.size() + 1);
    nodes_.reserve(nodes_.size() + 1);
    node->tokens.assign(tokens.begin(), tokens.end());
    node->parent = parent;
    node->depth = parent->end();
    node->scope = parent->scope;
    node->page = page;
    node->index = nodes_.size();
    found = node.get();
    parent->children.push_back(found);
    nodes_.push_back(std::move(node));
  } else if (changed) {
    found->tokens.assign(tokens.begin(), tokens.end());
    found->page = page;
  }
  if (changed) {
    found->key = next_key(parent->key, found->tokens);
    found->kept = std::chrono::steady_clock::now();
    found->saved_at = 0;
  }
  found->used = clock_;
  return found;
}

PrefixTree::Node* PrefixTree::add_page(Node* parent, std::span<const TokenId> tokens, PageRef& page) {
  MORAINE_CHECK(static_cast<int32_t>(tokens.size()) == kPage);
  return child_for(parent, tokens, page);
}

void PrefixTree::keep(Node* parent, std::span<const TokenId> tokens, const PageRef& page, StateRef state) {
  PageRef own = page;
  Node* node = child_for(parent, tokens, own);
  if (state) node->add_checkpoint(static_cast<int32_t>(tokens.size()), std::move(state), clock_);
}

bool PrefixTree::has_state(const Node* parent, std::span<const TokenId> tokens) const {
  const auto n = static_cast<int32_t>(tokens.size());
  for (const Node* child : parent->children)
    if (child->common(tokens) == n)
      for (const Node::Checkpoint& c : child->checkpoints)
        if (c.offset == n) return true;
  return false;
}

void PrefixTree::keep_at_end(Node* node, StateRef state) {
  node->add_checkpoint(node->size(), std::move(state), clock_);
}

bool PrefixTree::has_state_at_end(const Node* node) const {
  return !node->checkpoints.empty() && node->checkpoints.back().offset == node->size();
}

void PrefixTree::pin(Node* node, int change) {
  node->pins += change;
  MORAINE_CHECK(node->pins >= 0);
}

void PrefixTree::remove(Node* node) {
  std::erase(node->parent->children, node);
  const size_t at = node->index;
  nodes_.back()->index = at;
  std::swap(nodes_[at], nodes_.back());
  nodes_.pop_back();
}

// What would have to be computed again without this state: from the one before it on.
int32_t PrefixTree::tokens_to_replay(const Node& node, size_t checkpoint) const {
  const int32_t end = node.depth + node.checkpoints[checkpoint].offset;
  if (checkpoint > 0) return end - node.depth - node.checkpoints[checkpoint - 1].offset;
  for (const Node* n = node.parent; n; n = n->parent)
    if (!n->checkpoints.empty()) return end - n->depth - n->checkpoints.back().offset;
  return end;
}

bool PrefixTree::evict_one() {
  Node* victim = nullptr;
  size_t victim_checkpoint = SIZE_MAX;  // the page
  double least = 0;
  const auto consider = [&](Node* node, size_t checkpoint, double tokens, uint64_t bytes, uint64_t used) {
    const double value =
        tokens / static_cast<double>(std::max<uint64_t>(1, bytes)) / static_cast<double>(1 + clock_ - used);
    if (victim && value >= least) return;
    victim = node, victim_checkpoint = checkpoint, least = value;
  };
  const bool recurrent = pool_.state_bytes() > 0;
  for (const auto& n : nodes_) {
    Node* node = n.get();
    for (size_t i = 0; i < node->checkpoints.size(); ++i) {
      const Node::Checkpoint& c = node->checkpoints[i];
      consider(node, i, tokens_to_replay(*node, i), pool_.state_bytes(), c.used);
    }
    // A page goes from the end of its branch, and where states are needed, with the last of them.
    if (node->pins > 0 || !node->children.empty() || !node->checkpoints.empty()) continue;
    consider(node, SIZE_MAX, recurrent ? 0 : node->size(), pool_.page_bytes(), node->used);
  }
  if (!victim) return false;
  if (victim_checkpoint == SIZE_MAX)
    remove(victim);
  else
    victim->checkpoints.erase(victim->checkpoints.begin() + static_cast<ptrdiff_t>(victim_checkpoint));
  return true;
}

uint64_t PrefixTree::held_bytes() const {
  uint64_t bytes = 0;
  for (const auto& node : nodes_) {
    if (node->page.unique()) bytes += pool_.page_bytes();
    bytes += node->checkpoints.size() * pool_.state_bytes();
  }
  return bytes;
}

void PrefixTree::trim() {
  const uint64_t others = pool_.used_bytes() - held_bytes();  // stays as it is: what is freed was held
  while (pool_.used_bytes() > others + max_bytes_ && evict_one()) {
  }
}

void PrefixTree::forget(Scope scope, std::span<const TokenId> tokens) {
  Node* node = last_page(scope, tokens);
  const auto rest = tokens.subspan(node->end());
  for (Node* child : std::vector<Node*>(node->children))
    if (child->pins == 0 && child->children.empty() && child->common(rest) == child->size()) remove(child);
  while (node->parent && node->pins == 0 && node->children.empty()) {
    Node* parent = node->parent;
    remove(node);
    node = parent;
  }
}

void PrefixTree::clear() {
  std::vector<Node*> leaves;
  for (const auto& node : nodes_) {
    node->checkpoints.clear();
    if (node->children.empty()) leaves.push_back(node.get());
  }
  for (Node* node : leaves)  // and up, as far as nothing else hangs on it
    while (node->pins == 0 && node->children.empty()) {
      Node* parent = node->parent;
      remove(node);
      node = parent;
    }
}

}  // namespace moraine::cache
