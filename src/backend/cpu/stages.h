// The stages a CPU plan is made of; executable.cpp builds them.
#pragma once

#include <variant>
#include <vector>

#include "backend/cpu/executable.h"
#include "backend/cpu/pieces.h"

namespace moraine::cpu {

// ---- Row-wise ops: everything one row needs from itself alone. (stage_rows.cpp)
struct RowQuantize {
  plan::ValueId in;
  QuantBuffer out;
};
struct RowRope {
  plan::Rope op;
  int table;
};
struct RowStoreKv {
  plan::Attention op;
};
using RowOp = std::variant<plan::Embed, plan::RmsNorm, plan::Gate, plan::Add, plan::GatherOutputs, RowRope,
                           RowStoreKv, RowQuantize>;

class RowStage final : public Stage {
 public:
  explicit RowStage(plan::Extent extent) : extent_(extent) {}
  void append(RowOp op) { ops_.push_back(op); }
  plan::Extent extent() const { return extent_; }
  void run(CpuExecutable& exe, const StepContext& ctx) noexcept override;

 private:
  plan::Extent extent_;
  std::vector<RowOp> ops_;
};

// ---- Products that share their activations. (stage_matmul.cpp)
class MatmulStage final : public Stage {
 public:
  MatmulStage(plan::Extent extent, plan::ValueId in, const QuantBuffer* quant) : extent_(extent), in_(in) {
    if (quant) quant_ = *quant;
  }
  void append(const plan::Matmul& op) {
    parts_.push_back({op.out, op.weight, op.bias, plan::kNoWeight, {}, {}});
  }
  // up_quant: what `up` reads, where its format's blocks are not of the gate's width.
  void append(const plan::GatedFfn& op, const QuantBuffer* up_quant) {
    parts_.push_back({op.out, op.gate, plan::kNoWeight, op.up, up_quant ? *up_quant : QuantBuffer{}, op.act});
  }
  void run(CpuExecutable& exe, const StepContext& ctx) noexcept override;
  std::span<const uint8_t> first_read(const CpuBackend& be, int thread, int n_threads) const override;

 private:
  struct Part {
    plan::ValueId out;
    plan::WeightId weight;
    plan::WeightId bias;
    plan::WeightId up;  // gated_ffn: the second product
    QuantBuffer up_quant;
    plan::Activation act;
  };
  void run_tile(CpuExecutable& exe, const StepContext& ctx, const Part& part, int32_t g0, int32_t g1,
                int32_t r0, int32_t r1) noexcept;
  Pieces cut(const CpuBackend& be, int32_t row_tiles, int n_threads) const noexcept;
  // fn(part, g0, g1) for the groups of each part that a piece holds.
  template <class Fn>
  void for_parts(const CpuBackend& be, Pieces::Range piece, Fn&& fn) const noexcept;

  plan::Extent extent_;
  plan::ValueId in_;
  QuantBuffer quant_;  // width 0: float activations
  std::vector<Part> parts_;
};

// ---- Attention over the pages. (stage_attention.cpp)
class AttentionStage final : public Stage {
 public:
  AttentionStage(const plan::Attention& op, CpuExecutable& exe);
  void run(CpuExecutable& exe, const StepContext& ctx) noexcept override;
  static int64_t thread_floats(const plan::Attention& op);

 private:
  // At most kMaxQueries queries that read the same keys: consecutive rows of one sequence, times
  // query heads of one KV head. Query i is row i / n_heads, head first_head + i % n_heads.
  struct Tile {
    int32_t first_row, n_rows;
    int32_t kv_head, first_head, n_heads;
    int32_t n_queries() const { return n_rows * n_heads; }
    int32_t row(int32_t i) const { return first_row + i / n_heads; }
    int32_t head(int32_t i) const { return first_head + i % n_heads; }
  };
  // The online softmax of a tile's queries: m and l by query, o [queries][head_dim].
  struct State {
    float *m, *l, *o;
  };
  void cut_rows(const StepContext& ctx, int32_t n_tiles_wanted);
  int32_t n_tiles() const {
    return static_cast<int32_t>(ranges_.size()) * op_.n_kv_heads * tiles_per_kv_head_;
  }
  Tile tile(int32_t index) const;
  int32_t first_partition(const StepContext& ctx, const Tile& t) const;
  int32_t last_partition(const StepContext& ctx, const Tile& t) const;
  void partition(CpuExecutable& exe, const StepContext& ctx, const Tile& t, int32_t index, const State& out,
                 int thread) noexcept;
  // `state_of(p)` gives partition p's state, computing it or finding it computed.
  template <class StateOf>
  void combine(CpuExecutable& exe, const StepContext& ctx, const Tile& t, StateOf&& state_of) noexcept;

  plan::Attention op_;
  int32_t heads_per_tile_, tiles_per_kv_head_;
  struct RowRange {
    int32_t first, n;
  };
  std::vector<RowRange> ranges_;  // of this step
  // Few rows over a long context: partitions run in parallel and their states meet here.
  int32_t split_tiles_ = 0;  // tiles that are split at a time; 0: none
  int32_t max_partitions_ = 0;
};

// ---- The recurrence of linear attention. (stage_delta_net.cpp)
class DeltaNetStage final : public Stage {
 public:
  DeltaNetStage(const plan::GatedDeltaNet& op, CpuExecutable& exe);
  void run(CpuExecutable& exe, const StepContext& ctx) noexcept override;
  void keep(CpuExecutable& exe) noexcept override;
  uint64_t scratch_bytes() const override {
    return taps_.size() * sizeof(float) + (record_ ? record_->size() : 0);
  }
  static int64_t thread_floats(const plan::GatedDeltaNet& op, const plan::StepLimits& limits);

 private:
  struct Head;
  void run_head(const Head& head, int32_t n_rows, int32_t n_tentative, float* scratch) const noexcept;
  // Row i of what tentative rows began with, as it lies in the step's values: qkv, a, b.
  int64_t record_stride() const { return op_.n_channels() + 2 * op_.n_v_heads; }
  Rows record(int32_t i, int32_t offset) const {
    return {reinterpret_cast<float*>(record_->data()) + i * record_stride() + offset, record_stride()};
  }

  plan::GatedDeltaNet op_;
  int32_t most_rows_;        // convolved at a time
  std::vector<float> taps_;  // [n_taps][channels]
  std::unique_ptr<Mapping> record_;
};

// ---- Experts. (stage_moe.cpp)
class MoeStage final : public Stage {
 public:
  // The quantised input that gate and up read; null: float.
  MoeStage(const plan::Moe& op, const QuantBuffer* gate_quant, const QuantBuffer* up_quant,
           CpuExecutable& exe);
  void run(CpuExecutable& exe, const StepContext& ctx) noexcept override;
  static int64_t thread_floats(const plan::Moe& op, int32_t n_embd);

 private:
  // Some of the pairs (row, expert) of one expert, as they are sorted.
  struct Tile {
    int32_t expert, first, n;
  };
  // A step's work, carved out of the executable's scratch. A pair is row * top_k + rank; sorted by expert
  // it has a place.
  struct Work {
    int32_t* expert;   // by pair
    float* weight;     // by pair
    int32_t* pair_at;  // by place
    int32_t* place;    // by pair
    int32_t* first;    // by expert
    Tile* tiles;
    float* hidden;  // by place: [n_ff], and quantised:
    int8_t* q;
    float* d;
    int16_t* sums;
    float* products;  // by place: [n_columns]
    int32_t n_columns;
    uint64_t bytes;
  };
  // Of n_pairs; takes no more than that of any greater number does.
  Work lay_out(uint8_t* memory, int64_t n_pairs) const noexcept;
  void route_row(const float* logits, int32_t* expert, float* weight) const noexcept;
  int32_t sort_pairs(const Work& w, int32_t n_pairs) const noexcept;
  void gate_up(CpuExecutable& exe, const StepContext& ctx, const Work& w, const Tile& tile, int32_t g0,
               int32_t g1, float* scratch) const noexcept;
  void down(CpuExecutable& exe, const Work& w, const Tile& tile, int32_t g0, int32_t g1,
            int32_t first_column) const noexcept;
  template <class Fn>
  void for_each_tile(ThreadPool& pool, const Work& w, int32_t n_tiles, int32_t first_group, int32_t n_groups,
                     int64_t group_bytes, Fn&& fn) const noexcept;

  plan::Moe op_;
  QuantBuffer gate_quant_, up_quant_;
  int32_t n_embd_;
};

}  // namespace moraine::cpu
