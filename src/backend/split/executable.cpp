#include "backend/split/executable.h"

#include <cstring>
#include <new>

namespace moraine::split {

SplitExecutable::SplitExecutable(SplitBackend& backend, const plan::StepLimits& limits) : backend_(backend) {
  for (const Where where : {Where::kHost, Where::kDevice})
    side(where).executable = backend.backend(where).prepare(backend.part(where), limits);
}

uint64_t SplitExecutable::scratch_bytes() const {
  return host_.executable->scratch_bytes() + device_.executable->scratch_bytes();
}

uint64_t SplitExecutable::device_scratch_bytes() const {
  return host_.executable->device_scratch_bytes() + device_.executable->device_scratch_bytes();
}

template <class Pick>
void SplitExecutable::translate(const plan::Step& step, Side& side, Pick pick) const {
  side.pages.clear(), side.states.clear(), side.tables.clear();
  for (const auto& table : step.page_tables)
    for (const plan::PageId id : table) side.pages.push_back(pick(backend_.page(id)));
  size_t at = 0;
  for (const auto& table : step.page_tables) {
    side.tables.emplace_back(side.pages.data() + at, table.size());
    at += table.size();
  }
  for (const plan::StateId id : step.states) side.states.push_back(id < 0 ? id : pick(backend_.state(id)));
  side.step = step;
  side.step.page_tables = side.tables;
  side.step.states = side.states;
}

plan::Status SplitExecutable::submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept {
  try {
    translate(step, host_, [](const auto& pair) { return pair.first; });
    translate(step, device_, [](const auto& pair) { return pair.second; });
  } catch (const std::bad_alloc&) {
    return plan::Status::kOutOfMemory;
  }
  // Whose part of the plan does not begin the model pauses at once.
  for (Side* s : {&host_, &device_})
    if (const auto status = s->executable->submit(s->step, logits, logits_stride);
        status != plan::Status::kOk)
      return status;
  for (const Segment& segment : backend_.segments().subspan(1)) {
    carry(segment, step);
    if (const auto status = side(segment.side).executable->resume(); status != plan::Status::kOk)
      return status;
  }
  return plan::Status::kOk;
}

void SplitExecutable::carry(const Segment& to, const plan::Step& step) noexcept {
  plan::Executable& from = *side(to.side == Where::kHost ? Where::kDevice : Where::kHost).executable;
  const std::vector<plan::Value>& values = backend_.part(to.side).values;
  for (const plan::ValueId v : to.taken) {
    const size_t rows =
        values[v].extent == plan::Extent::kRows ? step.tokens.size() : step.output_rows.size();
    std::memcpy(side(to.side).executable->exchange(v), from.exchange(v),
                rows * plan::row_stride(values[v].width) * sizeof(float));
  }
}

void SplitExecutable::keep(std::span<const int32_t> rows) noexcept {
  host_.executable->keep(rows), device_.executable->keep(rows);
}

}  // namespace moraine::split
