// A plan made ready for the CPU: ops gathered into stages, each one parallel loop with a barrier after
// it. Consecutive row-wise ops (norms, rope, adds, quantising) form one stage that walks rows;
// products that read the same activations form one stage over groups of weight rows.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "backend/cpu/backend.h"

namespace moraine::cpu {

// What a stage needs to know of the running step.
struct StepContext {
  const plan::Step* step = nullptr;
  int32_t n_rows = 0;
  int32_t n_outputs = 0;
  float* logits = nullptr;
  int64_t logits_stride = 0;

  int32_t extent(plan::Extent e) const { return e == plan::Extent::kRows ? n_rows : n_outputs; }
};

// A value's place in this step: row r begins at data + r * stride.
struct Rows {
  float* data = nullptr;
  int64_t stride = 0;
  float* row(int64_t r) const { return data + r * stride; }
};

// Activations quantised for one input value and block width; refilled by each stage that quantises.
struct QuantBuffer {
  int8_t* q = nullptr;
  float* d = nullptr;
  int16_t* sums = nullptr;
  int32_t k = 0;
  int32_t width = 0;
  QuantRows from_row(int64_t r) const {
    return {q + r * k, d + r * (k / width), sums + r * (k / 16), k, k / width, k / 16};
  }
};

// Consecutive rows of one sequence in a step.
struct SequenceRows {
  int32_t first, n;
};

// The tentative rows of one sequence of the last step: where stages recorded them, and how many stay.
struct TentativeRows {
  plan::StateId state;
  int32_t first, n;
};

class CpuExecutable;

class Stage {
 public:
  virtual ~Stage() = default;
  virtual void run(CpuExecutable& exe, const StepContext& ctx) noexcept = 0;
  virtual uint64_t scratch_bytes() const { return 0; }  // of its own, beside what stages share
  virtual void keep(CpuExecutable&) noexcept {}         // see plan::Executable::keep
  virtual bool pauses() const { return false; }         // see plan::Exchange
  // The weights that thread `thread` of n_threads reads first in a step of few rows; none: who knows.
  virtual std::span<const uint8_t> first_read(const CpuBackend&, int /*thread*/, int /*n_threads*/) const {
    return {};
  }
};

// Cos and sin of every row's position for one set of rope parameters, refilled each step.
struct RopeTable {
  plan::RopeParams params;
  std::vector<float> freq;      // [n_rot/2]
  std::vector<float> cos, sin;  // [max_rows][n_rot/2]
};

class CpuExecutable final : public plan::Executable {
 public:
  CpuExecutable(CpuBackend& backend, const plan::Plan& plan, const plan::StepLimits& limits);
  ~CpuExecutable() override;

  uint64_t scratch_bytes() const override;
  plan::Status submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept override;
  plan::Status resume() noexcept override;
  void keep(std::span<const int32_t> rows) noexcept override;
  float* exchange(plan::ValueId v) noexcept override {
    return reinterpret_cast<float*>(scratch_->data() + layout_.offsets[v]);
  }

  CpuBackend& backend() { return backend_; }
  const plan::StepLimits& limits() const { return limits_; }
  Rows rows(plan::ValueId v, const StepContext& ctx) const;
  const plan::Value& value(plan::ValueId v) const { return plan_.values[v]; }
  const RopeTable& rope_table(int i) const { return ropes_[i]; }
  float* thread_scratch(int thread) const {
    return reinterpret_cast<float*>(thread_scratch_->data()) + thread * thread_scratch_floats_;
  }
  float* pair_scratch() const {
    return reinterpret_cast<float*>(pair_scratch_->data());
  }  // the second product of a gated_ffn
  // Where attention's partitions meet (stage_attention.cpp): one for all layers, they run in turn.
  void need_split_scratch(uint64_t bytes) { split_bytes_ = std::max(split_bytes_, bytes); }
  void need_moe_scratch(uint64_t bytes) { moe_bytes_ = std::max(moe_bytes_, bytes); }
  uint8_t* moe_scratch() const { return moe_->data(); }
  std::span<const SequenceRows> sequence_rows() const { return sequence_rows_; }  // of the running step
  std::span<const TentativeRows> tentative() const { return tentative_; }         // by sequence of it
  float* split_scratch() const { return reinterpret_cast<float*>(split_->data()); }

 private:
  void compile();
  void find_sequences(const StepContext& ctx) noexcept;
  int rope_index(const plan::RopeParams& p);
  void fill_ropes(const StepContext& ctx) noexcept;
  void look_ahead();

  CpuBackend& backend_;
  const plan::Plan& plan_;
  plan::StepLimits limits_;
  plan::ScratchLayout layout_;
  std::unique_ptr<Mapping> scratch_;
  std::unique_ptr<Mapping> quant_memory_;
  std::unique_ptr<Mapping> split_;
  uint64_t split_bytes_ = 0;
  std::unique_ptr<Mapping> moe_;  // one for all layers, as split_
  uint64_t moe_bytes_ = 0;
  std::vector<SequenceRows> sequence_rows_;
  std::vector<TentativeRows> tentative_;
  std::unique_ptr<Mapping> pair_scratch_;
  uint64_t pair_floats_ = 0;
  std::unique_ptr<Mapping> thread_scratch_;
  int64_t thread_scratch_floats_ = 0;
  std::vector<RopeTable> ropes_;
  std::vector<std::unique_ptr<Stage>> stages_;
  // [stages][decode threads]: what is read behind a stage; empty: no other than behind the stage before.
  std::vector<std::vector<std::span<const uint8_t>>> ahead_;
  StepContext running_;    // between submit and the last resume
  size_t next_stage_ = 0;  // that it goes on with
};

}  // namespace moraine::cpu
