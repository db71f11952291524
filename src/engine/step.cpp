// One step of those that run: rows are scheduled, the plan runs on them, tokens are drawn.
#include <algorithm>

#include "engine/engine_impl.h"
#include "engine/trouble.h"

namespace moraine::engine {

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

}  // namespace moraine::engine
