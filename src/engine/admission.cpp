// Who runs, and with what memory: generations that wait are let in while there is room, and some wait again
// when it runs short.
#include <fmt/format.h>

#include <algorithm>

#include "base/system_memory.h"
#include "engine/engine_impl.h"
#include "engine/trouble.h"

namespace moraine::engine {
namespace {

constexpr int32_t kCompanyTokens = 64;  // more than so many are worth waiting for
constexpr int kMostLookedAt = 64;       // of those that wait, in one step: looking compares prompts
constexpr uint64_t kMemoryReserve = 256ull << 20;  // bytes the cache leaves to the rest of the system
constexpr std::chrono::milliseconds kReliefInterval{500};

}  // namespace

// Sleeps until there is something to do; then lets waiting generations in, group by group in turn, while
// there is memory.
bool EngineImpl::admit() {
  std::unique_lock lock(mutex_);
  const auto woken = [&] {
    return closing_ || disk_event_ || !errands_.empty() || !running_.empty() ||
           std::any_of(waiting_.begin(), waiting_.end(), [](const auto& s) { return !s->waits_for_disk; });
  };
  while (!wake_.wait_for(lock, kReliefInterval, woken)) {
    relieve_memory();
    if (disk_) disk_->save();
    stats_.kv_bytes_used = stats_.cache_bytes_used = pool_.used_bytes();
  }
  if (closing_) return false;
  if (lost_) {  // it could not be opened again before; now somebody asks for it
    lock.unlock();
    recover();
    lock.lock();
    if (lost_) {
      const auto waiting = std::exchange(waiting_, {});
      lock.unlock();
      for (const auto& s : waiting) s->fail(device_lost());
      return true;
    }
  }
  disk_event_ = false;
  if (running_.empty()) pool_.hope_again();  // what another program took may be back
  for (const auto& s : waiting_) s->waits_for_disk = false;
  std::vector<std::pair<std::shared_ptr<Sequence>, Error>> failed;
  const auto running_of_group = [&](const auto& waiting) {
    return std::count_if(running_.begin(), running_.end(), [&](const auto& r) {
      return waiting->group() != 0 && r->group() == waiting->group();
    });
  };
  while (static_cast<int32_t>(running_.size()) < options_.n_parallel) {
    // Of the groups with the fewest running, whoever came first.
    auto next = waiting_.end();
    int looked = 0;
    for (auto it = waiting_.begin(); it != waiting_.end() && looked < kMostLookedAt; ++it, ++looked)
      if (!(*it)->waits_for_disk && !waits_for_company(**it) &&
          (next == waiting_.end() || running_of_group(*it) < running_of_group(*next)))
        next = it;
    if (next == waiting_.end()) break;
    const std::shared_ptr<Sequence> s = *next;
    if (!s->cancelled()) {
      if (!running_.empty() && !has_room_for(*s)) break;
      if (waits_for_disk(*s)) continue;
      bool admitted = false;
      auto trouble = trouble_of([&] {
        admitted = s->admit(pool_, tree_);
        if (!admitted && running_.empty() && disk_ && disk_->give_way()) admitted = s->admit(pool_, tree_);
      });
      if (!admitted && !trouble && !running_.empty()) break;
      if (!admitted && !trouble) trouble = no_memory();
      if (trouble) failed.emplace_back(s, *trouble);
      lost_ |= trouble && trouble->code() == ErrorCode::kDeviceLost;
    }
    waiting_.erase(next);
    if (disk_) disk_->release(s.get());
    if (failed.empty() || failed.back().first != s) {
      s->slot = free_slot(s->wanted_slot());
      running_.push_back(s);
    }
  }
  lock.unlock();
  for (const auto& [s, error] : failed) s->fail(error);
  return true;
}

// What the disk knows of its prompt is read first; meanwhile others go on.
bool EngineImpl::waits_for_disk(Sequence& s) {
  if (!disk_ || s.looked_on_disk()) return false;
  using Restore = cache::DiskTier::Restore;
  Restore r = Restore::kNothing;
  if (trouble_of([&] { r = disk_->restore(&s, s.scope(), s.tokens(), pace_.seconds_per_row()); }))
    disk_->release(&s);
  s.waits_for_disk = r == Restore::kReading || r == Restore::kBusy;
  if (!s.waits_for_disk) s.set_looked_on_disk(r == Restore::kDone ? disk_->restored_tokens() : 0);
  return s.waits_for_disk;
}

// Whether its prompt would fit beside what runs and its prompts: who comes later must not soon make others
// wait.
bool EngineImpl::has_room_for(const Sequence& s) {
  const auto cached = tree_.look(s.scope(), s.tokens());
  uint64_t wanted = s.bytes_to_come(pool_) - cached.n_tokens / plan::kPageTokens * pool_.page_bytes();
  for (const auto& r : running_) wanted += r->bytes_to_come(pool_);
  return wanted <= pool_.free_bytes() + tree_.held_bytes() - cached.held_bytes;
}

// Somebody is computing what this one could take from the cache a little later.
bool EngineImpl::waits_for_company(const Sequence& s) const {
  const auto tokens = s.tokens();
  for (const auto& r : running_) {
    if (r->scope() != s.scope() || r->pending() <= 1) continue;
    const auto other = r->tokens();
    const auto n =
        std::mismatch(tokens.begin(), tokens.end(), other.begin(), other.end()).first - tokens.begin();
    // Without states the page in which they part is shared once it is full.
    const auto page_end =
        static_cast<ptrdiff_t>(cache::pages_for(static_cast<int32_t>(n))) * plan::kPageTokens;
    const bool whole = pool_.state_bytes() == 0 && page_end <= std::ssize(other);
    if (r->computed() > (whole ? page_end - 1 : n) ||
        n <= tree_.look(s.scope(), tokens).n_tokens + kCompanyTokens)
      continue;
    r->keep_for_company(static_cast<int32_t>(n));
    return true;
  }
  return false;
}

int32_t EngineImpl::free_slot(int32_t wanted) const {
  const auto is_free = [&](int32_t slot) {
    return std::none_of(running_.begin(), running_.end(), [&](const auto& r) { return r->slot == slot; });
  };
  if (wanted >= 0 && wanted < options_.n_parallel && is_free(wanted)) return wanted;
  int32_t slot = 0;
  while (!is_free(slot)) ++slot;  // fewer run than there are places
  return slot;
}

void EngineImpl::drop_cancelled() {
  // Those that still wait are told at once, not when their turn comes.
  std::vector<std::shared_ptr<Sequence>> gone;
  {
    std::lock_guard lock(mutex_);
    for (auto& s : waiting_)
      if (s->cancelled()) gone.push_back(s);
    if (disk_)
      for (auto& s : gone) disk_->release(s.get());
    std::erase_if(waiting_, [](const auto& s) { return s->cancelled(); });
  }
  for (auto& s : running_)
    if (s->cancelled()) gone.push_back(s);
  for (auto& s : gone) {
    remove(s.get(), true);
    s->finish(FinishReason::kCancelled);
  }
}

// Room for n more rows of `s`. Where there is none, the youngest that has no rows in this step yet gives
// its memory up and waits: perhaps `s` itself. False: not now.
bool EngineImpl::make_room(Sequence& s, int32_t n) {
  while (!s.prepare_rows(n)) {
    if (disk_ && disk_->give_way()) continue;
    const auto in_step = [&](const auto& r) {
      return std::any_of(batch_.parts.begin(), batch_.parts.end(),
                         [&](const Batch::Part& p) { return p.sequence == r.get(); });
    };
    const auto youngest = std::find_if_not(running_.rbegin(), running_.rend(), in_step);
    Sequence* victim = youngest->get();  // at least `s` has no rows yet
    if (victim == &s && running_.size() == 1) throw no_memory();
    suspend(victim);
    if (victim == &s) return false;
  }
  return true;
}

void EngineImpl::suspend(Sequence* s) {
  s->suspend();
  std::lock_guard lock(mutex_);
  ++stats_.suspended_total;
  const auto at = std::find_if(running_.begin(), running_.end(), [&](const auto& r) { return r.get() == s; });
  waiting_.push_front(*at);
  running_.erase(at);
}

Error EngineImpl::no_memory() const {
  if (!pool_.refusal().empty()) return Error(ErrorCode::kOutOfMemory, pool_.refusal());
  return Error(ErrorCode::kOutOfMemory,
               "There is no memory left for this generation; use a smaller context (-c).");
}

// A device had less memory than was planned with, because another program took some.
void EngineImpl::tell_refusal() {
  if (pool_.refusal().empty()) refusal_told_ = false;
  if (pool_.refusal().empty() || refusal_told_) return;
  refusal_told_ = true;
  if (options_.on_notice)
    options_.on_notice(
        fmt::format("{} Requests share what they have, and wait for one another.", pool_.refusal()));
}

// Other programs need memory too: the cache gives way before the system has to kill something.
void EngineImpl::relieve_memory() {
  const Clock::time_point now = Clock::now();
  if (now < next_relief_) return;
  next_relief_ = now + kReliefInterval;
  while (available_memory() < kMemoryReserve && tree_.evict_one()) {
  }
}

}  // namespace moraine::engine
