// A plan on two backends: the parts of both run in turns, and values are carried over between them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backend/split/backend.h"

namespace moraine::split {

class SplitExecutable final : public plan::Executable {
 public:
  SplitExecutable(SplitBackend& backend, const plan::StepLimits& limits);

  uint64_t scratch_bytes() const override;
  uint64_t device_scratch_bytes() const override;
  plan::Status submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept override;
  void keep(std::span<const int32_t> rows) noexcept override;

 private:
  // One side, and the step as it numbers pages and states. Grows with the largest step so far: after that no
  // step allocates.
  struct Side {
    std::unique_ptr<plan::Executable> executable;
    std::vector<int32_t> pages, states;
    std::vector<std::span<const plan::PageId>> tables;
    plan::Step step;
  };
  template <class Pick>
  void translate(const plan::Step& step, Side& side, Pick pick) const;
  Side& side(Where where) { return where == Where::kHost ? host_ : device_; }
  void carry(const Segment& to, const plan::Step& step) noexcept;

  SplitBackend& backend_;
  Side host_, device_;
};

}  // namespace moraine::split
