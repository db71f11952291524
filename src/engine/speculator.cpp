#include "engine/speculator.h"

#include <fmt/format.h>

#include <algorithm>

namespace moraine::engine {
namespace {

using speculation::Offer;
using speculation::Source;

constexpr int32_t kRoutineRows = 32;      // what a model reads of what others drafted meanwhile
constexpr int32_t kTokensOfARound = 3;    // that a draft model's round may be hoped to make
constexpr int64_t kTrials = 32;           // drafted tokens before a verdict
constexpr int64_t kHopelessSteps = 1024;  // before it is said that nothing could pay
constexpr int32_t kMostIdle = 256;        // steps between two looks at what an idle model takes
constexpr double kPays = 1.03;
constexpr double kNewest = 0.2;  // weight of the newest answer

}  // namespace

Speculator::Speculator(const EngineOptions& options, std::unique_ptr<ModelDrafter> model)
    : options_(options.speculation),
      on_notice_(options.on_notice),
      model_(std::move(model)),
      drafter_(options.speculation, options.n_parallel + options.speculation.max_draft) {}

// What the draft model would take. What it must read before its first draft pays only over many rounds: an
// answer is taken to go on for as long as it has been going, or to the usual length, within what was asked
// for.
std::optional<Offer> Speculator::offer_of(const Sequence& s, int32_t room, int32_t n_decoding) {
  if (!model_ || room < 1) return std::nullopt;
  const int32_t sharers = std::min(n_decoding, model_->n_windows());
  const auto cost = model_->cost(s, sharers);
  if (!cost) return std::nullopt;
  Offer o{Source::kModel, 0, std::min(room, std::max(1, options_.max_draft / sharers))};
  o.token_seconds = cost->token_seconds;
  o.begin_seconds = cost->begin_seconds;
  o.sharers = sharers;
  if (cost->rows > kRoutineRows) {
    const int32_t so_far = s.stats().n_generated;
    const int32_t to_come =
        std::min(std::max(so_far, static_cast<int32_t>(usual_tokens_) - so_far), s.draft_room(INT32_MAX));
    o.begin_seconds /= std::max(1, to_come / kTokensOfARound);
    o.once_seconds = cost->begin_seconds - o.begin_seconds;
  }
  return o;
}

void Speculator::draft(std::span<const std::shared_ptr<Sequence>> decoding, int32_t max_rows) {
  const auto n = static_cast<int32_t>(decoding.size());
  int32_t drafted = 0;
  std::vector<Sequence*> for_model;
  for (const auto& s : decoding) {
    const int32_t room = s->draft_room(std::min(options_.max_draft, max_rows - n) - drafted);
    speculation::Draft& draft = s->draft();
    drafter_.propose({.tokens = s->tokens(),
                      .earlier = s->earlier(),
                      .scope = s->scope(),
                      .constraint = s->constraint(),
                      .room = room,
                      .beside = {n - 1 + drafted, n - 1},
                      .model = offer_of(*s, room, n)},
                     draft);
    drafted += static_cast<int32_t>(draft.tokens.size()) + draft.wanted;
    if (draft.wanted > 0) for_model.push_back(s.get());
  }
  if (!for_model.empty() || (model_ && ++idle_steps_ >= kMostIdle)) ask_model(std::move(for_model));
  for (const auto& s : decoding)
    if (static_cast<int32_t>(s->draft().tokens.size()) < drafter_.least()) s->draft().tokens.clear();
  tell_verdict();
}

// Whatever goes wrong with the draft model, answers go on without it. Where nobody wants it, for what it took
// when the machine was perhaps busy, that is looked at again.
void Speculator::ask_model(std::vector<Sequence*> sequences) {
  try {
    idle_steps_ = 0;
    if (sequences.empty()) return model_->measure(1);
    const std::vector<Sequence*> ready = model_->draft(sequences);
    for (Sequence* s : ready)
      drafter_.controller().drafted_by_model(s->draft().wanted,
                                             static_cast<int32_t>(s->draft().tokens.size()));
  } catch (const std::exception& e) {
    for (Sequence* s : sequences) s->draft().tokens.clear();
    if (on_notice_)
      on_notice_(fmt::format("The draft model {} is given up: {}. Answers go on without it.", model_->name(),
                             e.what()));
    model_.reset();
  }
}

void Speculator::outcome(Sequence& s, int32_t drafted, int32_t accepted) {
  drafter_.outcome(s.draft(), drafted, accepted);
}

void Speculator::remember(uint64_t scope, std::span<const TokenId> output) {
  drafter_.remember(scope, output);
  const auto n = static_cast<double>(output.size());
  usual_tokens_ = usual_tokens_ <= 0 ? n : (1 - kNewest) * usual_tokens_ + kNewest * n;
}

// Once, when enough is known: whether the draft model makes one sequence faster.
void Speculator::tell_verdict() {
  if (has_verdict_ || !model_ || !on_notice_) return;
  const speculation::Controller& c = drafter_.controller();
  Offer o{Source::kModel, 0, options_.max_draft};
  o.token_seconds = model_->token_seconds();
  std::string text;
  if (c.trials(Source::kModel) >= kTrials) {
    const double gain = c.gain(o, {});
    const double held = c.acceptance(Source::kModel, 0);
    if (gain >= kPays)
      text = fmt::format("The draft model {} is in use: {:.2f}x with it; {:.0f}% of its tokens hold.",
                         model_->name(), gain, 100 * held);
    else
      text = fmt::format("The draft model {} is idle: {:.2f}x with it, as {:.0f}% of its tokens hold;",
                         model_->name(), gain, 100 * held);
  } else if (c.steps() >= kHopelessSteps && c.most_gain(o, {}) < kPays) {
    text = fmt::format("The draft model {} is idle: {:.2f}x with it, even if all of its tokens held;",
                       model_->name(), c.most_gain(o, {}));
  } else {
    return;
  }
  if (text.back() == ';')
    text += fmt::format(" dropping -md would free {:.1f} GB.", static_cast<double>(model_->bytes()) / 1e9);
  has_verdict_ = true;
  on_notice_(text);
}

}  // namespace moraine::engine
