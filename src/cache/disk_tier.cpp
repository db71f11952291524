#include "cache/disk_tier.h"

#include <algorithm>

#include "base/check.h"

namespace moraine::cache {
namespace {

constexpr int32_t kPage = plan::kPageTokens;
constexpr size_t kMostWriting = 2;  // jobs: one in work, one behind it
constexpr std::chrono::milliseconds kLookInterval{200};
constexpr std::chrono::seconds kListInterval{1};  // while writing: what others remove is written again
constexpr int kMostTries = 8;                     // of one prompt, with files that are refused
constexpr int32_t kWorthwhileTokens = 32;         // fewer are computed sooner than a file is opened

}  // namespace

DiskTier::DiskTier(MemoryPool& pool, PrefixTree& tree, const Options& o, uint64_t page_bytes,
                   uint64_t state_bytes)
    : pool_(pool), tree_(tree), settle_(o.settle), store_(o.store, {o.identity, page_bytes, state_bytes}) {}

DiskTier::~DiskTier() { stop_reading(); }

std::optional<PageRef> DiskTier::take_page() {
  for (;;) {
    if (auto page = pool_.take_page()) return page;
    if (!tree_.evict_one()) return std::nullopt;
  }
}

std::optional<StateRef> DiskTier::take_state() {
  for (;;) {
    if (auto state = pool_.take_state()) return state;
    if (!tree_.evict_one()) return std::nullopt;
  }
}

// ---- Writing

void DiskTier::save() {
  for (const DiskResult& r : store_.take_written()) writing_.erase(r.id);
  const auto now = Clock::now();
  while (writing_.size() < kMostWriting && now >= next_look_) {
    if (now >= next_listing_) {
      store_.refresh();
      next_listing_ = now + kListInterval;
    }
    const auto on_disk = [&](const DiskName& name) {
      return store_.contains(name) || std::any_of(writing_.begin(), writing_.end(),
                                                  [&](const auto& w) { return w.second.name == name; });
    };
    std::vector<DiskName> superseded;
    auto piece = tree_.next_to_save(on_disk, now - settle_, superseded);
    for (const DiskName& name : superseded) store_.remove(name);
    if (!piece) {
      next_look_ = now + kLookInterval;
      return;
    }
    DiskJob job{
        .id = next_id_++, .name = piece->name, .scope = piece->scope, .n_tokens = piece->tokens.size()};
    job.sequence = std::make_shared<const std::vector<TokenId>>(std::move(piece->tokens));
    if (piece->page) job.page = pool_.contents(piece->page);
    if (piece->state) job.state = pool_.contents(*piece->state);
    writing_.emplace(job.id, std::move(*piece));
    store_.write(std::move(job));
  }
}

void DiskTier::save_all(Clock::time_point until) {
  settle_ = std::chrono::milliseconds(0);
  do {
    next_look_ = {};
    save();
    if (writing_.empty()) return;
  } while (store_.wait_written(until) && Clock::now() < until);
}

// ---- Reading

// Walks down both at once: pages that memory or the disk has, and of what continues them on disk whatever
// goes furthest. Returns the files to read, without their memory; `read` are the tokens they end with.
std::vector<DiskTier::Part> DiskTier::plan(PrefixTree::Scope scope, std::span<const TokenId> tokens,
                                           std::vector<TokenId>& read, int32_t& n_known) {
  const auto prompt = tokens.first(tokens.size() - 1);  // the last one is always computed
  const auto size = static_cast<int32_t>(prompt.size());
  const bool recurrent = pool_.state_bytes() > 0;
  n_known = tree_.look(scope, prompt).n_tokens;
  const int32_t in_memory = PrefixTree::end(*tree_.last_page(scope, prompt));
  std::optional<DiskName> last;  // what is read after the whole pages up to `base`
  int32_t base = 0, best = n_known;
  std::vector<TokenId> last_tokens;
  std::vector<Part> pages;
  DiskKey key = root_key(scope);
  for (int32_t at = 0;; at += kPage) {
    const auto rest = prompt.subspan(at);
    for (const DiskName& name : store_.after(key)) {
      if (!(name.parent == key)) continue;
      const auto fits = static_cast<size_t>(name.n_tokens) <= rest.size();
      const bool whole = fits && next_key(key, rest.first(name.n_tokens)) == name.key;
      if (recurrent && name.is_state && whole && at + name.n_tokens > best) {
        best = at + name.n_tokens, base = at, last = name;
        last_tokens.assign(rest.begin(), rest.begin() + name.n_tokens);
      }
      // A page that parts from the prompt somewhere is of use up to there; which tokens it has, it tells.
      if (recurrent || name.is_state || (whole && name.n_tokens == kPage)) continue;
      if (at + std::min<int32_t>(name.n_tokens, static_cast<int32_t>(rest.size())) <= best) continue;
      const auto own = store_.tokens_of(name, at + name.n_tokens);
      if (!own || next_key(key, *own) != name.key) continue;
      const auto n = std::mismatch(own->begin(), own->end(), rest.begin(), rest.end()).first - own->begin();
      if (at + n <= best) continue;
      best = at + static_cast<int32_t>(n), base = at, last = name;
      last_tokens = *own;
    }
    if (at + kPage > size) break;
    const DiskName page{key, next_key(key, rest.first(kPage)), kPage, false};
    if (at >= in_memory) {
      if (!store_.contains(page)) break;
      pages.push_back({page, at + kPage, {}, {}});
    }
    key = page.key;
    if (!recurrent && at + kPage > best) best = base = at + kPage, last.reset();
  }
  if (best - n_known < kWorthwhileTokens) return {};
  std::erase_if(pages, [&](const Part& p) { return p.end > base; });
  if (last && last->is_state && last->n_tokens == kPage) {  // its page comes from a file of its own
    const DiskName page{last->parent, last->key, kPage, false};
    if (base >= in_memory) {
      if (!store_.contains(page)) return {};
      pages.push_back({page, base + kPage, {}, {}});
    }
  }
  read.assign(tokens.begin(), tokens.begin() + base);
  read.insert(read.end(), last_tokens.begin(), last_tokens.end());
  if (last) pages.push_back({*last, base + last->n_tokens, {}, {}});
  return pages;
}

bool DiskTier::start(const void* owner, PrefixTree::Scope scope, std::span<const TokenId> tokens,
                     double seconds_per_token) {
  if (tokens.size() < 2) return false;
  store_.refresh();
  Reading r{.owner = owner, .scope = scope};
  r.parts = plan(scope, tokens, r.tokens, r.n_known);
  if (r.parts.empty()) return false;
  double bytes = 0;
  for (const Part& p : r.parts)
    bytes += static_cast<double>((p.name.has_page() ? pool_.page_bytes() : 0) +
                                 (p.name.is_state ? pool_.state_bytes() : 0));
  const double gain = (r.parts.back().end - r.n_known) * seconds_per_token,
               speed = store_.read_bytes_per_second();
  if (gain > 0 && speed > 0 && bytes / speed > gain) return false;
  r.node = tree_.last_page(
      scope, std::span<const TokenId>(r.tokens).first(std::min(r.tokens.size(), tokens.size() - 1)));
  tree_.pin(r.node, 1);  // before room is made
  bool room = true;
  try {
    for (Part& p : r.parts) {
      if (p.name.has_page())
        if (auto page = take_page()) p.page = std::move(*page);
      if (p.name.is_state)
        if (auto state = take_state()) p.state = std::move(*state);
      room = room && (!p.name.has_page() || p.page) && (!p.name.is_state || p.state);
      if (!room) break;
    }
  } catch (const Error&) {  // the system has less than it promised
    room = false;
  }
  if (!room) {
    tree_.pin(r.node, -1);
    return false;
  }
  r.first_id = next_id_;
  const auto sequence = std::make_shared<const std::vector<TokenId>>(r.tokens);
  for (const Part& p : r.parts) {
    DiskJob job{next_id_++, p.name, scope, sequence, static_cast<size_t>(p.end), {}, {}};
    if (p.page) job.page = pool_.contents(p.page);
    if (p.state) job.state = pool_.contents(p.state);
    store_.read(std::move(job));
  }
  reading_ = std::move(r);
  return true;
}

DiskTier::Restore DiskTier::restore(const void* owner, PrefixTree::Scope scope,
                                    std::span<const TokenId> tokens, double seconds_per_token) {
  if (reading_ && reading_->owner == owner) {
    if (!take_read() && !start_again(tokens, seconds_per_token)) return Restore::kNothing;
    if (reading_->n_done < reading_->parts.size()) return Restore::kReading;
    n_restored_ =
        std::max(0, tree_.look(scope, tokens.first(tokens.size() - 1)).n_tokens - reading_->n_known);
    return Restore::kDone;
  }
  if (reading_) {
    std::vector<TokenId> read;
    int32_t n_known = 0;
    return tokens.size() < 2 || plan(scope, tokens, read, n_known).empty() ? Restore::kNothing
                                                                           : Restore::kBusy;
  }
  return start(owner, scope, tokens, seconds_per_token) ? Restore::kReading : Restore::kNothing;
}

// What was read joins the tree, in order. False: a file was refused, and what follows it is worth nothing.
bool DiskTier::take_read() {
  for (const DiskResult& result : store_.take_read()) {
    Reading& r = *reading_;
    MORAINE_CHECK(result.id == r.first_id + r.n_done);
    if (result.status != DiskStatus::kOk) return false;
    join(std::move(r.parts[r.n_done++]));
  }
  return true;
}

// Without the files that were refused: perhaps others reach nearly as far.
bool DiskTier::start_again(std::span<const TokenId> tokens, double seconds_per_token) {
  const Reading was = std::move(*reading_);
  stop_reading();
  if (was.tries >= kMostTries || !start(was.owner, was.scope, tokens, seconds_per_token)) return false;
  reading_->tries = was.tries + 1;
  reading_->n_known = was.n_known;
  return true;
}

void DiskTier::join(Part part) {
  Reading& r = *reading_;
  const int32_t begin = part.end - part.name.n_tokens;
  MORAINE_CHECK(PrefixTree::end(*r.node) == (part.name.has_page() ? begin : part.end));
  const auto tokens = std::span<const TokenId>(r.tokens).subspan(begin, part.name.n_tokens);
  if (part.name.n_tokens < kPage) {
    tree_.keep(r.node, tokens, part.page, std::move(part.state));
  } else if (part.name.is_state) {
    if (!tree_.has_state_at_end(r.node)) tree_.keep_at_end(r.node, std::move(part.state));
  } else {
    PrefixTree::Node* node = tree_.add_page(r.node, tokens, part.page);
    tree_.pin(node, 1);
    tree_.pin(r.node, -1);
    r.node = node;
  }
}

void DiskTier::stop_reading() {
  if (!reading_) return;
  store_.drop_reads();  // before the memory that is read into
  tree_.pin(reading_->node, -1);
  reading_.reset();
}

void DiskTier::release(const void* owner) {
  if (reading_ && reading_->owner == owner) stop_reading();
}

void DiskTier::let_go() {
  stop_reading();
  store_.drop_all();
  writing_.clear();
}

bool DiskTier::give_way() {
  if (!reading_) return false;
  stop_reading();
  return true;
}

}  // namespace moraine::cache
