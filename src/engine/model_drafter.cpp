#include "engine/model_drafter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/system_memory.h"
#include "engine/model_info.h"
#include "sampling/sampler.h"
#include "tokenizer/load.h"

namespace moraine::engine {
namespace {

constexpr int32_t kStandardWindow = 1024;  // tokens
constexpr int32_t kLeastWindow = 128;      // twice the longest draft
constexpr int32_t kFirstTokens = 256;  // a window begins with so many at most: what is read first must pay
constexpr int32_t kMostWindows = 4;    // with more sequences at once a model's drafts hardly pay
constexpr int32_t kMostRows = 64;      // of a step
constexpr int32_t kJoinedRows = 16;    // so many tokens of a sequence are read together with others'
constexpr int64_t kIdleRounds = 256;   // after so many a window may go to another sequence
constexpr double kNewest = 0.2;        // weight of the newest measurement

EngineOptions own_options(const EngineOptions& o) {
  const DraftModelOptions& d = o.speculation.model;
  if (d.n_ctx != 0 && d.n_ctx < kLeastWindow)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("The draft's context must be at least {} tokens, or 0 for {}: -cd.", kLeastWindow,
                            kStandardWindow));
  EngineOptions own;
  own.model_path = d.path;
  own.n_ctx = d.n_ctx > 0 ? d.n_ctx : kStandardWindow;
  own.n_threads = own.n_threads_batch = d.n_threads > 0 ? d.n_threads : o.n_threads;
  own.n_batch = own.n_ubatch = kMostRows;
  own.n_parallel = std::min(o.n_parallel, kMostWindows);
  own.kv_type_k = d.kv_type_k, own.kv_type_v = d.kv_type_v;
  own.speculation.max_draft = 0;
  own.isa = o.isa;
  own.memory_limit_bytes = o.memory_limit_bytes;
  own.device = d.device;
  check_options(own);
  const int32_t trained = model::create_model(gguf::File::open(d.path))->n_ctx_train();
  if (trained < kLeastWindow)
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("It was trained for {} tokens, and at least {} are needed.", trained, kLeastWindow));
  own.n_ctx = std::min(own.n_ctx, trained);
  return own;
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Error no_memory() {
  return Error(ErrorCode::kOutOfMemory, "there is no memory left for what it looks back on");
}

}  // namespace

std::unique_ptr<ModelDrafter> ModelDrafter::open(const EngineOptions& options) {
  const SpeculationOptions& s = options.speculation;
  if (s.model.path.empty() || !s.from_model || s.max_draft == 0) return nullptr;
  if (!(s.model.p_min >= 0 && s.model.p_min <= 1))
    throw Error(ErrorCode::kInvalidArgument, "The least probability of a drafted token is from 0 to 1.");
  // What is wrong with the model itself is said where it is loaded.
  const gguf::File model = gguf::File::open(options.model_path);
  const VocabData vocabulary = load_vocab(model.metadata());
  try {
    std::unique_ptr<ModelDrafter> d(new ModelDrafter(options, own_options(options)));
    d->vocabulary_ = match_vocabularies(vocabulary, load_vocab(d->prepared_.file.metadata()), d->name_);
    d->notes_.insert(d->notes_.end(), d->vocabulary_.notes.begin(), d->vocabulary_.notes.end());
    const uint64_t n = model.tensor_bytes(), own = d->prepared_.file.tensor_bytes();
    if (own > n)
      d->notes_.push_back(fmt::format(
          "The draft model {} ({:.2f} GB) is larger than the model ({:.2f} GB), so that its drafts can "
          "hardly pay: are -m and -md the wrong way round?",
          d->name_, static_cast<double>(own) / 1e9, static_cast<double>(n) / 1e9));
    return d;
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("The draft model (-md) cannot be used. {}", e.what()));
  }
}

ModelDrafter::ModelDrafter(const EngineOptions& options, EngineOptions own)
    : own_(std::move(own)),
      p_min_(options.speculation.model.p_min),
      slice_seconds_(options.max_stall_ms / 1e3),
      window_tokens_(own_.n_ctx),
      prepared_(own_),
      pool_(*prepared_.backend),
      costs_(kMostRows),
      windows_(own_.n_parallel) {
  name_ = describe_model(prepared_.file, *prepared_.model, own_.model_path).name;
  if (prepared_.memory.on_device > 0)
    notes_.push_back(fmt::format("The draft model runs on {}.", prepared_.device()));
  if (!prepared_.device_note.empty())
    notes_.push_back(fmt::format("Of the draft model: {}", prepared_.device_note));
  n_vocab_ = prepared_.model->n_vocab();
  logits_stride_ = plan::row_stride(n_vocab_);
  if (options.speculation.model.n_ctx > own_.n_ctx)
    notes_.push_back(fmt::format("{} looks back on {} tokens, which it was trained for, not on {} (-cd).",
                                 name_, own_.n_ctx, options.speculation.model.n_ctx));
}

uint64_t ModelDrafter::bytes() const {
  const MemoryEstimate& m = prepared_.memory;
  const uint64_t logits = 4ull * logits_stride_ * prepared_.max_outputs;
  return m.weights + m.scratch + logits + windows_.size() * (m.kv + 2 * m.state) + pool_.bytes_for(1);
}

uint64_t ModelDrafter::device_bytes() const {
  const MemoryEstimate& m = prepared_.memory;
  return m.on_device == 0 ? 0 : std::min(m.on_device + windows_.size() * (m.kv + 2 * m.state), bytes());
}

void ModelDrafter::load(const ProgressFn& progress) {
  prepared_.load(own_, name_, progress);
  pool_.set_max_bytes(windows_.size() * (pool_.bytes_for(window_tokens_) + pool_.state_bytes()) +
                      pool_.bytes_for(1));  // and one to measure with
  logits_.reset(new float[logits_stride_ * prepared_.max_outputs]);
  // Before anybody waits for a step. The first warms up.
  measure(1);
  costs_ = speculation::StepCosts(kMostRows);
  for (const int32_t n : {1, 1, 1, 1, kMostRows / 2, kMostRows / 2}) measure(n);
}

void ModelDrafter::measure(int32_t n_rows) {
  Window w;
  if (pool_.state_bytes() > 0) {
    auto state = pool_.take_state();
    if (!state) throw no_memory();
    w.state = std::move(*state);
  }
  Run run{nullptr, &w, {{}, 0, {}}, std::vector<TokenId>(n_rows, 0)};
  Run* runs[] = {&run};
  compute(runs, true, false);
}

ModelDrafter::Fit ModelDrafter::fit(const Window& w, const Sequence& s) const {
  const auto tokens = s.tokens();
  const auto n = static_cast<int32_t>(tokens.size());
  int32_t kept = 0;
  if (w.owner == &s && w.begin < n) {
    const auto rest = tokens.subspan(w.begin);
    const auto common = std::mismatch(w.tokens.begin(), w.tokens.end(), rest.begin(), rest.end());
    kept = std::min(static_cast<int32_t>(common.first - w.tokens.begin()), n - w.begin - 1);
    // A state cannot be taken back.
    if (pool_.state_bytes() > 0 && kept < static_cast<int32_t>(w.tokens.size())) kept = 0;
  }
  const int32_t half = window_tokens_ / 2;
  if (kept == 0) return {std::max(0, n - std::min(half, kFirstTokens)), 0};
  if (n - w.begin + kLeastWindow / 2 > window_tokens_) return {n - half, 0};
  return {w.begin, kept};
}

std::optional<ModelDrafter::Cost> ModelDrafter::cost(const Sequence& s, int32_t sharers) const {
  const Window none;
  const Window* w = nullptr;
  bool has_room = false;
  for (const Window& other : windows_) {
    if (other.owner == &s) w = &other;
    has_room = has_room || other.owner == nullptr || round_ - other.last_used > kIdleRounds;
  }
  if (w == nullptr && !has_room) return std::nullopt;
  const Fit f = fit(w ? *w : none, s);
  Cost c;
  c.rows = static_cast<int32_t>(s.tokens().size()) - f.begin - f.n_kept;
  c.begin_seconds =
      c.rows <= kMostRows ? costs_.of(c.rows) - costs_.of(1) : costs_.of(kMostRows) * c.rows / kMostRows;
  c.token_seconds = costs_.of(sharers) + sharers * guess_seconds_;
  return c;
}

void ModelDrafter::forget(const Sequence& s) {
  for (Window& w : windows_)
    if (w.owner == &s) w.owner = nullptr;
}

ModelDrafter::Window* ModelDrafter::window_of(const Sequence& s) {
  Window* free = nullptr;
  for (Window& w : windows_) {
    if (w.owner == &s) return &w;
    const bool may = w.owner == nullptr || round_ - w.last_used > kIdleRounds;
    if (may && (free == nullptr || w.last_used < free->last_used)) free = &w;
  }
  if (free == nullptr) return nullptr;
  free->tokens.clear();
  free->owner = &s;
  return free;
}

// One step: the rows of each run, behind what its window holds or, `ahead`, behind what was guessed.
void ModelDrafter::compute(std::span<Run* const> runs, bool wants_logits, bool ahead) {
  std::vector<TokenId> tokens;
  std::vector<int32_t> positions, sequences, outputs;
  std::vector<std::span<const plan::PageId>> tables;
  std::vector<plan::StateId> states;
  for (Run* run : runs) {
    Window& w = *run->window;
    auto position = static_cast<int32_t>(w.tokens.size());
    for (const TokenId t : run->rows) {
      // Tokens that it does not have: any other will do, its guesses are guesses.
      tokens.push_back(t >= 0 && t < n_vocab_ ? t : 0);
      positions.push_back(position++);
      sequences.push_back(static_cast<int32_t>(tables.size()));
    }
    while (static_cast<int32_t>(w.ids.size()) < cache::pages_for(position)) {
      auto page = pool_.take_page();
      if (!page) throw no_memory();
      w.ids.push_back(page->id());
      w.pages.push_back(std::move(*page));
    }
    tables.push_back(w.ids);
    states.push_back((ahead ? w.ahead : w.state).id());
    if (wants_logits) outputs.push_back(static_cast<int32_t>(tokens.size()) - 1);
    w.tokens.insert(w.tokens.end(), run->rows.begin(), run->rows.end());
  }
  const Clock::time_point begin = Clock::now();
  const plan::Step step{tokens, positions, sequences, outputs, tables, states};
  if (prepared_.executable->submit(step, logits_.get(), logits_stride_) != plan::Status::kOk)
    throw Error(ErrorCode::kDeviceLost, "one of its steps failed");
  costs_.measured(static_cast<int32_t>(tokens.size()), seconds_since(begin));
}

// Reads all but the last of the sequence's tokens. False: there are more than one step should wait for.
bool ModelDrafter::read_up(Window& w, std::span<const TokenId> tokens) {
  const double row_seconds = costs_.of(kMostRows) / kMostRows;
  auto budget = static_cast<int32_t>(std::clamp(slice_seconds_ / std::max(row_seconds, 1e-9), 16.0, 1e6));
  for (;;) {
    const auto from = w.begin + static_cast<int32_t>(w.tokens.size());
    const auto left = static_cast<int32_t>(tokens.size()) - from;
    if (left <= kJoinedRows) return true;
    const int32_t n = std::min({left - 1, budget, kMostRows});
    if (n <= 0) return false;
    const auto rows = tokens.subspan(from, n);
    Run run{nullptr, &w, {{}, 0, {}}, {rows.begin(), rows.end()}};
    Run* runs[] = {&run};
    compute(runs, false, false);
    budget -= n;
  }
}

// The next token of a run, if the draft is sure enough of it.
void ModelDrafter::guess(Run& run, std::span<const float> logits) {
  Sequence& s = *run.sequence;
  speculation::Draft& draft = s.draft();
  const auto position = static_cast<int64_t>(s.tokens().size() + draft.tokens.size());
  const TokenId token = run.sampler.sample(logits, position, vocabulary_.allowed);
  run.active = false;
  if (token < 0 || std::exp(logits[token] - sampling::log_sum_exp(logits)) < p_min_) return;
  draft.tokens.push_back(token);
  run.sampler.accept(token);
  run.rows = {token};
  run.active =
      static_cast<int32_t>(draft.tokens.size()) < draft.wanted && !s.cancelled() && !s.ends_with(token);
}

std::vector<Sequence*> ModelDrafter::draft(std::span<Sequence* const> sequences) {
  ++round_;
  std::vector<Run> runs;
  runs.reserve(sequences.size());
  for (Sequence* s : sequences) {
    Window* w = window_of(*s);
    if (w == nullptr || s->cancelled()) continue;
    w->last_used = round_;
    const Fit f = fit(*w, *s);
    if (f.n_kept == 0 && pool_.state_bytes() > 0) {
      w->state = {};
      auto state = pool_.take_state();
      if (!state) throw no_memory();
      w->state = std::move(*state);
    }
    w->begin = f.begin;
    w->tokens.resize(f.n_kept);
    if (!read_up(*w, s->tokens())) continue;
    const auto rest = s->tokens().subspan(w->begin + w->tokens.size());
    runs.push_back({s, w, s->sampler().fork(), {rest.begin(), rest.end()}});
  }
  for (bool ahead = false;; ahead = true) {
    std::vector<Run*> active;
    for (Run& run : runs)
      if (run.active) active.push_back(&run);
    if (active.empty()) break;
    compute(active, true, ahead);
    if (!ahead && pool_.state_bytes() > 0) {
      for (Run* run : active) {
        Window& w = *run->window;
        if (!w.ahead) {
          auto state = pool_.take_state();
          if (!state) throw no_memory();
          w.ahead = std::move(*state);
        }
        pool_.copy_state(w.ahead.id(), w.state.id());
      }
    }
    const Clock::time_point begin = Clock::now();
    for (size_t i = 0; i < active.size(); ++i)
      guess(*active[i], {logits_.get() + i * logits_stride_, static_cast<size_t>(n_vocab_)});
    const double seconds = seconds_since(begin) / static_cast<double>(active.size());
    guess_seconds_ = guess_seconds_ <= 0 ? seconds : (1 - kNewest) * guess_seconds_ + kNewest * seconds;
  }
  // The states stand where the guessing began.
  std::vector<Sequence*> ready;
  for (Run& run : runs) {
    if (pool_.state_bytes() > 0) run.window->tokens.resize(run.sequence->tokens().size() - run.window->begin);
    ready.push_back(run.sequence);
  }
  return ready;
}

EngineOptions beside_draft(EngineOptions options, const ModelDrafter* draft) {
  if (draft == nullptr) return options;
  const uint64_t free = available_memory();
  const uint64_t limit = options.memory_limit_bytes ? std::min(options.memory_limit_bytes, free) : free;
  options.memory_limit_bytes = limit > draft->bytes() ? limit - draft->bytes() : 1;
  options.device.reserved_bytes += draft->device_bytes();
  return options;
}

void count_draft(MemoryEstimate& estimate, const ModelDrafter* draft) {
  if (draft == nullptr) return;
  estimate.draft = draft->bytes();
  estimate.available += estimate.draft;
}

}  // namespace moraine::engine
