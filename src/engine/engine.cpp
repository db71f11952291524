// The engine: loads a model, then one thread runs steps: schedule rows, run the plan, draw tokens.
// Start reading at EngineImpl::run(); a generation's own state is sequence.h.
#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "base/system_memory.h"
#include "cache/disk_tier.h"
#include "cache/timeline.h"
#include "engine/batch.h"
#include "engine/devices.h"
#include "engine/identity.h"
#include "engine/memory.h"
#include "engine/model_drafter.h"
#include "engine/model_info.h"
#include "engine/pace.h"
#include "engine/prepared.h"
#include "engine/slots.h"
#include "engine/speculator.h"
#include "engine/trouble.h"
#include "tokenizer/load.h"

namespace moraine {
namespace engine {
namespace {

constexpr int32_t kCompanyTokens = 64;  // more than so many are worth waiting for
constexpr int kMostLookedAt = 64;       // of those that wait, in one step: looking compares prompts
constexpr uint64_t kMemoryReserve = 256ull << 20;  // bytes the cache leaves to the rest of the system
constexpr std::chrono::milliseconds kReliefInterval{500};
constexpr std::chrono::seconds kSaveAtEnd{5};  // most that closing waits for the disk

Error device_lost() {
  return Error(ErrorCode::kDeviceLost, "The device was lost while this ran; the request can be sent again.");
}

class EngineImpl final : public Engine {
 public:
  EngineImpl(const EngineOptions& options, const ProgressFn& progress);
  ~EngineImpl() override;

  const ModelInfo& info() const override { return info_; }
  const MemoryEstimate& memory() const override { return prepared_.memory; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  EngineStats stats() const override;
  std::shared_ptr<Generation> generate(GenerationRequest request,
                                       std::shared_ptr<GenerationSink> sink) override;
  SlotReport save_slot(int32_t slot, uint64_t scope, const std::string& path) override {
    return slots_.save(slot, scope, path, [this] { return disk_layout(); });
  }
  SlotReport restore_slot(int32_t slot, uint64_t scope, const std::string& path) override {
    return slots_.restore(slot, scope, path, [this] { return disk_layout(); }, info_.n_ctx);
  }
  SlotReport erase_slot(int32_t slot, uint64_t scope) override { return slots_.erase(slot, scope); }

 private:
  // Between two steps, while the caller waits. Throws what `task` throws, Error{kUnavailable} at the end.
  void on_engine_thread(const std::function<void()>& task);
  void run_errands();
  int32_t free_slot(int32_t wanted) const;
  cache::DiskLayout disk_layout();
  void run();
  bool admit();  // false: the engine is closing
  void drop_cancelled();
  void schedule();
  plan::Status forward();
  void collect(plan::Status status);
  bool has_room_for(const Sequence& s);
  bool waits_for_company(const Sequence& s) const;
  bool make_room(Sequence& s, int32_t n);
  void suspend(Sequence* s);
  std::shared_ptr<Sequence> remove(Sequence* s, bool keep);
  void fail(Sequence* s, const Error& error, bool keep = true);
  void relieve_memory();
  Error no_memory() const;
  void tell_refusal();
  void recover();
  void open_disk();
  bool waits_for_disk(Sequence& s);

  EngineOptions options_;
  Speculator speculator_;  // before what it leaves room for
  Prepared prepared_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ModelInfo info_;
  int32_t max_rows_;
  cache::MemoryPool pool_;
  cache::PrefixTree tree_;
  int64_t logits_stride_;
  std::unique_ptr<float[]> logits_;
  Batch batch_;
  Pace pace_;
  Slots slots_;
  std::optional<ModelIdentity> identity_;
  bool lost_ = false;  // the device is, and everybody's memory with it
  bool refusal_told_ = false;
  size_t first_prefill_ = 0;  // whose turn it is among those that prefill
  Clock::time_point next_relief_{};

  mutable std::mutex mutex_;  // guards waiting_, running_'s size, stats_, errands_, closing_
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Sequence>> waiting_;
  std::vector<std::shared_ptr<Sequence>> running_;
  EngineStats stats_;
  std::deque<std::packaged_task<void()>> errands_;
  bool closing_ = false;
  bool disk_event_ = false;                // something was read or written
  std::unique_ptr<cache::DiskTier> disk_;  // null: none. Its threads use what stands above
  std::thread thread_;
};

EngineImpl::EngineImpl(const EngineOptions& options, const ProgressFn& progress)
    : options_((check_options(options), options)),
      speculator_(options, ModelDrafter::open(options)),
      prepared_(beside_draft(options, speculator_.model())),
      tokenizer_(load_tokenizer(prepared_.file.metadata())),
      info_(describe_model(prepared_.file, *prepared_.model, options.model_path)),
      max_rows_(step_limits(options, 1).max_rows),
      pool_(*prepared_.backend),
      tree_(pool_),
      pace_(options.max_stall_ms / 1e3, max_rows_),
      slots_(pool_, tree_, options.n_parallel, [this](const auto& task) { on_engine_thread(task); }) {
  count_draft(prepared_.memory, speculator_.model());
  const MemoryEstimate& m = prepared_.memory;
  require_fit(m, info_.file_name);  // before the pages that are left are counted
  const int32_t n_vocab = prepared_.model->n_vocab();
  if (static_cast<int64_t>(tokenizer_->size()) > n_vocab)
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("{}: the tokenizer has {} tokens, but the model only {} rows of embeddings.",
                            info_.file_name, tokenizer_->size(), n_vocab));
  info_.n_ctx = m.n_ctx;
  info_.n_parallel = options_.n_parallel;
  info_.device = prepared_.device();
  info_.n_threads = n_threads(options_);
  if (!prepared_.device_note.empty()) info_.notes.push_back(prepared_.device_note);
  // Running sequences share what memory is left, the cache takes what they do not need of it.
  const uint64_t free = remaining(m) + m.kv + m.state;
  tree_.set_max_bytes(m.cache);
  pool_.set_max_bytes(std::min(free, options_.n_parallel * pool_.bytes_for(m.n_ctx) + m.cache));
  prepared_.load(options_, info_.file_name, progress);
  logits_stride_ = plan::row_stride(n_vocab);
  logits_.reset(new float[logits_stride_ * prepared_.max_outputs]);
  if (ModelDrafter* draft = speculator_.model()) {
    draft->load([&](LoadProgress p) {
      p.memory = &m;
      return !progress || progress(p);
    });
    info_.draft_model = draft->name();
    info_.notes.insert(info_.notes.end(), draft->notes().begin(), draft->notes().end());
  }
  stats_.drafters = speculator_.stats();
  if (!options_.cache_disk.empty()) open_disk();
  thread_ = std::thread([this] { run(); });
}

// Without its disk the cache is only less: whatever keeps it away is told, and no reason to fail.
void EngineImpl::open_disk() {
  const auto tell = [this](const std::string& text) {
    if (options_.on_notice) options_.on_notice(text);
  };
  const auto trouble = trouble_of([&] {
    identity_ = identify(prepared_, max_rows_);
    cache::DiskTier::Options o;
    o.identity = identity_->hash;
    o.settle = std::chrono::milliseconds(options_.cache_disk_settle_ms);
    o.store.folder = options_.cache_disk;
    o.store.max_bytes = options_.cache_disk_bytes;
    o.store.model = identity_->folder;
    o.store.notice = tell;
    o.store.wake = [this] {
      {
        std::lock_guard lock(mutex_);
        disk_event_ = true;
      }
      wake_.notify_all();
    };
    disk_ = std::make_unique<cache::DiskTier>(pool_, tree_, o, pool_.page_bytes(), pool_.state_bytes());
  });
  if (trouble) tell(trouble->what());
}

EngineImpl::~EngineImpl() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

std::shared_ptr<Generation> EngineImpl::generate(GenerationRequest request,
                                                 std::shared_ptr<GenerationSink> sink) {
  const auto n = static_cast<int64_t>(request.prompt.size());
  const int32_t n_ctx = info_.n_ctx;
  if (n == 0) throw Error(ErrorCode::kInvalidArgument, "The prompt is empty: give at least one token.");
  for (TokenId t : request.prompt)
    if (!tokenizer_->contains(t))
      throw Error(
          ErrorCode::kInvalidArgument,
          fmt::format("Token {} is not in the vocabulary: ids go from 0 to {}.", t, tokenizer_->size() - 1));
  if (n > n_ctx || (n == n_ctx && request.max_tokens != 0))
    throw Error(ErrorCode::kContextOverflow, fmt::format("This model's maximum context length is {} tokens. "
                                                         "However, your messages resulted in {} tokens; the "
                                                         "request exceeds the available context size.",
                                                         n_ctx, n));
  auto sequence = std::make_shared<Sequence>(std::move(request), std::move(sink), *tokenizer_, n_ctx);
  {
    std::lock_guard lock(mutex_);
    if (closing_) throw Error(ErrorCode::kUnavailable, "The engine is closing.");
    waiting_.push_back(sequence);
    ++stats_.requests_total;
  }
  wake_.notify_all();
  return sequence;
}

EngineStats EngineImpl::stats() const {
  std::lock_guard lock(mutex_);
  EngineStats s = stats_;
  s.running = static_cast<int32_t>(running_.size());
  s.waiting = static_cast<int32_t>(waiting_.size());
  if (disk_) s.disk_bytes_written = disk_->bytes_written(), s.disk_bytes_read = disk_->bytes_read();
  return s;
}

// One step after another, as long as anything runs.
void EngineImpl::run() {
  for (;;) {
    const bool was_lost = lost_;
    if (!admit()) break;
    run_errands();
    if (disk_) disk_->save();
    relieve_memory();
    drop_cancelled();
    schedule();
    tell_refusal();
    if (!batch_.parts.empty() && !lost_) collect(forward());
    if (lost_ && !was_lost) recover();
  }
  const Error closing(ErrorCode::kUnavailable, "The engine is closing.");
  for (auto& s : std::vector(running_)) fail(s.get(), closing);
  for (auto& s : waiting_) s->fail(closing);
  waiting_.clear();
  run_errands();
  if (disk_) disk_->save_all(Clock::now() + kSaveAtEnd);
}

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

void EngineImpl::on_engine_thread(const std::function<void()>& task) {
  std::packaged_task<void()> errand(task);
  auto done = errand.get_future();
  {
    std::lock_guard lock(mutex_);
    if (closing_) throw Error(ErrorCode::kUnavailable, "The engine is closing.");
    errands_.push_back(std::move(errand));
  }
  wake_.notify_all();
  done.get();
}

void EngineImpl::run_errands() {
  std::deque<std::packaged_task<void()>> errands;
  {
    std::lock_guard lock(mutex_);
    errands.swap(errands_);
  }
  for (auto& errand : errands) errand();
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

cache::DiskLayout EngineImpl::disk_layout() {
  if (lost_) throw device_lost();
  if (!identity_) identity_ = identify(prepared_, max_rows_);
  return {identity_->hash, pool_.page_bytes(), pool_.state_bytes()};
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

// Takes a sequence out of the running ones and frees its memory, before its last event is sent: when
// a client hears of the end, the engine has forgotten it.
std::shared_ptr<Sequence> EngineImpl::remove(Sequence* s, bool keep) {
  if (keep && s->slot >= 0) slots_.ended(s->slot, s->scope(), s->tokens().first(s->computed()));
  speculator_.forget(*s);
  s->leave(keep);
  std::lock_guard lock(mutex_);
  const GenerationStats& g = s->stats();
  const int32_t n_prompt = std::min(s->computed(), g.n_prompt);  // of one that was cancelled, part
  stats_.prompt_tokens_total += std::max(0, n_prompt - g.n_cached);
  stats_.cached_tokens_total += g.n_cached;
  stats_.restored_tokens_total += g.n_restored;
  stats_.generated_tokens_total += g.n_generated;
  stats_.prompt_seconds_total += g.prompt_ms / 1000;
  stats_.generated_seconds_total += g.generated_ms / 1000;
  stats_.kv_bytes_used = pool_.used_bytes();
  stats_.cache_bytes_used = tree_.held_bytes();
  std::shared_ptr<Sequence> kept;
  std::erase_if(running_, [&](const auto& r) {
    if (r.get() == s) kept = r;
    return r.get() == s;
  });
  return kept;
}

void EngineImpl::fail(Sequence* s, const Error& error, bool keep) {
  lost_ |= error.code() == ErrorCode::kDeviceLost;
  const std::shared_ptr<Sequence> kept = remove(s, keep && !lost_);
  s->fail(error);
}

// A driver resets its device when that hangs, and some when the machine wakes from sleep. All that lay on it
// is gone: what ran fails, what prompts left is forgotten, and the model is loaded anew.
void EngineImpl::recover() {
  for (const auto& s : std::vector(running_)) fail(s.get(), device_lost(), false);
  if (disk_) disk_->let_go();
  // A slot that is being saved or restored holds memory until it finds that out.
  for (tree_.clear(); pool_.used_bytes() > 0; tree_.clear()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return closing_ || !errands_.empty(); });
      if (closing_) return;
    }
    run_errands();
  }
  const Clock::time_point begin = Clock::now();
  const auto trouble = trouble_of([&] { prepared_.recover(options_); });
  lost_ = trouble.has_value();
  if (!options_.on_notice) return;
  if (trouble)
    options_.on_notice(
        fmt::format("The device was lost and cannot be used again yet: {} The next request tries "
                    "once more; restart the program if it stays so.",
                    trouble->what()));
  else
    options_.on_notice(
        fmt::format("The device was lost, and the requests that ran on it failed. It was opened "
                    "anew and the model loaded again in {:.1f} s.",
                    std::chrono::duration<double>(Clock::now() - begin).count()));
}

// Other programs need memory too: the cache gives way before the system has to kill something.
void EngineImpl::relieve_memory() {
  const Clock::time_point now = Clock::now();
  if (now < next_relief_) return;
  next_relief_ = now + kReliefInterval;
  while (available_memory() < kMemoryReserve && tree_.evict_one()) {
  }
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

// Decode rows of everyone, then slices of those that prefill: each gets an equal share of what is
// left, beginning with another one each step.
void EngineImpl::schedule() {
  batch_.clear();
  int32_t room = max_rows_;
  std::vector<std::pair<std::shared_ptr<Sequence>, Error>> failed;
  const auto add = [&](const std::shared_ptr<Sequence>& s, int32_t n) {
    bool ready = false;
    if (const auto trouble = trouble_of([&] { ready = make_room(*s, n); })) failed.emplace_back(s, *trouble);
    if (!ready) return 0;
    batch_.add(*s, n);
    room -= n;
    return n;
  };
  const auto runs = [&](const auto& s) {
    return std::find(running_.begin(), running_.end(), s) != running_.end();
  };
  std::vector<std::shared_ptr<Sequence>> decoding, prefilling;
  for (const auto& s : running_) (s->pending() > 1 ? prefilling : decoding).push_back(s);
  if (decoding.empty() || prefilling.empty()) pace_.nobody_waits();
  if (pace_.streams_go_alone()) prefilling.clear();
  // Beside a prompt a step's time is the prompt's: nothing is to be gained by guessing.
  for (const auto& s : decoding) s->draft().tokens.clear();
  if (prefilling.empty() && options_.speculation.max_draft > 0 &&
      trouble_of([&] { speculator_.draft(decoding, max_rows_); }))
    for (const auto& s : decoding) s->draft().tokens.clear();  // no memory for guesses
  for (const auto& s : decoding) {
    if (!runs(s)) continue;
    auto& draft = s->draft().tokens;
    const auto wanted = 1 + static_cast<int32_t>(draft.size());
    bool has_room = false;
    if (wanted > 1) trouble_of([&] { has_room = s->prepare_rows(wanted); });
    if (!has_room) draft.clear();  // never at others' expense
    if (add(s, 1 + static_cast<int32_t>(draft.size())) == 0) draft.clear();
  }
  const bool beside_decode = !batch_.parts.empty();
  room = std::min(room, pace_.slice_rows(beside_decode));
  if (first_prefill_ >= prefilling.size()) first_prefill_ = 0;
  for (size_t i = 0; i < prefilling.size() && room > 0; ++i) {
    const auto& s = prefilling[(first_prefill_ + i) % prefilling.size()];
    if (!runs(s)) continue;
    const auto others = static_cast<int32_t>(prefilling.size() - i);
    const int32_t to_stop = s->next_stop() - s->computed();
    batch_.prefill_rows += add(s, std::min({s->pending(), to_stop, room, std::max(1, room / others)}));
  }
  ++first_prefill_;
  for (const auto& [s, error] : failed) fail(s.get(), error);
}

plan::Status EngineImpl::forward() {
  const Clock::time_point begin = Clock::now();
  const plan::Status status = prepared_.executable->submit(batch_.step(), logits_.get(), logits_stride_);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const auto n_rows = static_cast<int32_t>(batch_.tokens.size());
  pace_.measured(n_rows, batch_.prefill_rows, batch_.drafts(), seconds);
  if (batch_.prefill_rows == 0) speculator_.measured(n_rows, seconds);
  return status;
}

void EngineImpl::collect(plan::Status status) {
  {
    std::lock_guard lock(mutex_);
    if (batch_.prefill_rows < static_cast<int32_t>(batch_.tokens.size())) ++stats_.decode_steps_total;
    stats_.kv_bytes_used = pool_.used_bytes();
  }
  if (status == plan::Status::kDeviceLost) {
    lost_ = true;
    return;
  }
  if (status != plan::Status::kOk) {
    for (const Batch::Part& part : batch_.parts)
      fail(part.sequence,
           Error(ErrorCode::kOutOfMemory,
                 "The device ran out of memory in this step; try again, or use a smaller context (-c)."),
           false);
    return;
  }
  // First all tokens are drawn; then states advance by those drafted ones that held; then what was computed
  // is settled.
  std::vector<std::optional<Error>> troubles(batch_.parts.size());
  std::vector<std::optional<FinishReason>> ends(batch_.parts.size());
  uint64_t drafted = 0, accepted = 0;
  for (size_t i = 0; i < batch_.parts.size(); ++i) {
    const Batch::Part& part = batch_.parts[i];
    const Sequence::Logits rows{logits_.get() + std::max(0, part.output) * logits_stride_, logits_stride_,
                                static_cast<int32_t>(tokenizer_->size())};
    Sequence::Advance result;
    troubles[i] = trouble_of([&] { part.sequence->advance(part.n_rows, rows, result); });
    ends[i] = result.end;
    batch_.kept[i] = result.accepted;
    if (batch_.tentative[i] == 0) continue;
    speculator_.outcome(*part.sequence, batch_.tentative[i], result.accepted);
    drafted += batch_.tentative[i], accepted += result.accepted;
  }
  if (drafted > 0) {
    prepared_.executable->keep(batch_.kept);
    std::lock_guard lock(mutex_);
    stats_.drafted_tokens_total += drafted, stats_.accepted_tokens_total += accepted;
    stats_.drafters = speculator_.stats();
  }
  for (size_t i = 0; i < batch_.parts.size(); ++i) {
    Sequence* s = batch_.parts[i].sequence;
    if (!troubles[i] && !ends[i]) troubles[i] = trouble_of([&] { s->settle(); });
    if (troubles[i]) {
      fail(s, *troubles[i]);
    } else if (ends[i]) {
      trouble_of([&] { speculator_.remember(s->scope(), s->output()); });
      remove(s, true)->finish(*ends[i]);
    }
  }
}

}  // namespace
}  // namespace engine

std::unique_ptr<Engine> Engine::load(const EngineOptions& options, const ProgressFn& progress) {
  return std::make_unique<engine::EngineImpl>(options, progress);
}

MemoryEstimate Engine::estimate(const EngineOptions& options) {
  engine::check_options(options);
  const auto draft = engine::ModelDrafter::open(options);
  MemoryEstimate e = engine::Prepared(engine::beside_draft(options, draft.get())).memory;
  engine::count_draft(e, draft.get());
  return e;
}

std::vector<std::string> Engine::architectures() {
  std::vector<std::string> names;
  for (const auto& a : model::architectures()) names.emplace_back(a.name);
  return names;
}

}  // namespace moraine
