// The engine: loads a model, takes requests, and runs one thread: schedule rows, run the plan, draw tokens.
// Start reading at EngineImpl::run(); whom it lets in is admission.cpp, what a step does is step.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "engine/devices.h"
#include "engine/engine_impl.h"
#include "engine/memory.h"
#include "engine/model_drafter.h"
#include "engine/model_info.h"
#include "engine/trouble.h"
#include "tokenizer/load.h"

namespace moraine {
namespace engine {
namespace {

constexpr std::chrono::seconds kSaveAtEnd{5};  // most that closing waits for the disk

}  // namespace

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

cache::DiskLayout EngineImpl::disk_layout() {
  if (lost_) throw device_lost();
  if (!identity_) identity_ = identify(prepared_, max_rows_);
  return {identity_->hash, pool_.page_bytes(), pool_.state_bytes()};
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
