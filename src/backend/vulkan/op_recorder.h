// Turns a plan's ops into dispatches: one call for each op, or for those that go together (fuse.h). Each
// dispatch's push constants are a struct at its call, in the order of the block in its shader
// (shaders/*.comp). Experts are in record_moe.cpp, the delta rule in record_delta_net.cpp, the rest in
// record.cpp; where barriers go is recorder.h.
#pragma once

#include <array>

#include "backend/vulkan/executable.h"
#include "backend/vulkan/fuse.h"
#include "backend/vulkan/weights.h"

namespace moraine::vulkan {

constexpr int32_t kFewRows = 8;          // of a step that the recording for few rows takes
constexpr uint32_t kFewTile = kFewRows;  // rows of activations that a workgroup of matmul.comp takes
constexpr uint32_t kManyTile = 16;
constexpr int32_t kMaxHeadDim = 1024;
constexpr int32_t kPartition = 512;  // keys, as in attend.comp and merge_partitions.comp

// Of a weight's format: 32 or 256, or 0 where activations stay float.
int32_t quant_width(DType t);
uint64_t quantized_row_bytes(int32_t k, int32_t width);

class OpRecorder {
 public:
  OpRecorder(VulkanExecutable& exe, VulkanExecutable::Recording& recording, Recorder& out, bool few)
      : exe_(exe), recording_(recording), out_(out), few_(few), step_(exe.step_buffer_->address()) {}

  void record(const Fused& fused);
  void operator()(const plan::Embed& op);
  void operator()(const plan::RmsNorm& op);
  void operator()(const plan::Matmul& op);
  void operator()(const plan::GatedFfn& op);
  void operator()(const plan::Rope& op);
  void operator()(const plan::Attention& op);
  void operator()(const plan::Gate& op);
  void operator()(const plan::Moe& op);
  void operator()(const plan::GatedDeltaNet& op);
  void operator()(const plan::Add& op);
  void operator()(const plan::GatherOutputs& op);
  void operator()(const plan::Exchange&) {
    if (out_.n_dispatches() > 0) out_.pause();  // before anything else nothing has to run
    recording_.pauses.push_back(recording_.commands.all().size() - 1);
  }

  // The recorded rows of the i-th delta net once more, to advance the state by those that held.
  void keep(const plan::GatedDeltaNet& op, size_t i);

 private:
  // Rows that a product reads: as they are, or as int8.
  struct Activations {
    uint64_t address;
    int32_t stride;  // bytes
    Range range;
  };
  struct Quantized {
    plan::ValueId value;
    int32_t width;
    uint64_t address;
    Range range;
  };
  // What an op leaves of a value for those behind it.
  struct Written {
    bool keep = true;  // floats
    uint32_t quant_width = 0;
    Range floats, quant;  // empty: not written
  };
  // Where a layer's cache lies, as shaders have it among their push constants: addresses of the step's
  // tables, offsets of the layer's first head in a page.
  struct CachePlace {
    uint64_t positions, sequence_of, sequences, pages, k_offset, v_offset;
  };
  struct DeltaSource {
    uint64_t qkv, a, b, dst;  // addresses; dst 0: nobody reads it
    std::array<Range, 3> ranges;
    Range out;
  };

  const plan::Value& value(plan::ValueId v) const { return exe_.plan_.values[v]; }
  int32_t width(plan::ValueId v) const { return value(v).width; }
  int32_t stride(plan::ValueId v) const { return plan::row_stride(value(v).width); }
  uint64_t weight(plan::WeightId w) const { return exe_.backend_.weight(w).place.address(); }
  DType dtype(plan::WeightId w) const { return exe_.backend_.weight(w).decl.dtype; }
  uint64_t bytes_of(plan::WeightId w) const {
    return w == plan::kNoWeight ? 0 : device_bytes(exe_.backend_.weight(w).decl);
  }
  uint64_t in_step(uint64_t offset) const { return step_ + offset; }
  uint64_t work() const { return exe_.scratch_->address() + exe_.scratch_layout_.size_bytes; }
  uint64_t at(plan::ValueId v) const;
  Range range(plan::ValueId v) const;
  int32_t max_rows(plan::ValueId v) const;
  static Count count_of(plan::Extent e) { return e == plan::Extent::kRows ? Count::kRows : Count::kOutputs; }
  Grid rows_of(plan::ValueId v, uint32_t x, uint32_t per = 1) const {
    return {x, count_of(value(v).extent), 1, per, 0, false};
  }
  uint64_t count_address(Count c) const { return in_step(exe_.step_.counts + 4 * static_cast<uint64_t>(c)); }
  uint32_t tile() const { return few_ ? kFewTile : kManyTile; }
  static uint32_t chunks(int32_t width) { return static_cast<uint32_t>((width + 255) / 256); }
  uint32_t groups(int32_t n) const;  // of eight weight rows, within what a dispatch may have

  void norm(const plan::RmsNorm& op, const plan::Add* add, const plan::RmsNorm* added);
  void products(std::span<const plan::Op> ops);
  CachePlace cache_place(int32_t layer) const;
  void attention(const plan::Attention& op, const AttentionBegin& begin);
  void begin_attention(const plan::Attention& op, const AttentionBegin& begin, Range cache);
  void merge_partitions(const plan::Attention& op, Range parts);

  // As the ops behind the recorded one read it; may_quantize: its shader can write int8 blocks.
  Written written(plan::ValueId v, bool may_quantize = true);
  // A place for a value's rows as int8, from now on theirs; another's that it had are forgotten.
  const Quantized& quantized_place(plan::ValueId v, int32_t width);
  // A value as products with weights of this type read it; quantises it if no product before did.
  Activations activations(plan::ValueId v, DType type);
  void quantize(uint64_t src, uint64_t dst, int32_t k, int32_t stride, int32_t width, const Grid& grid,
                Range read, Range written);
  void product(plan::ValueId in, plan::ValueId out, plan::WeightId weight, plan::WeightId up,
               plan::WeightId bias, plan::Activation act);
  void delta_net(const plan::GatedDeltaNet& op, const DeltaSource& from, uint64_t record_qkv,
                 uint64_t record_a, uint64_t record_b);

  template <class Push>
  void run(Shader shader, const Grid& grid, const Push& push, std::initializer_list<Range> reads,
           std::initializer_list<Range> writes, std::initializer_list<uint32_t> constants = {}) {
    Constants all = {exe_.backend_.lanes()};
    all.insert(all.end(), constants);
    const uint64_t arguments =
        exe_.step_.arguments + recording_.grids.size() * sizeof(VkDispatchIndirectCommand);
    recording_.grids.push_back(grid);
    out_.dispatch({exe_.backend_.pipelines().get(shader, all), arguments}, push, reads, writes);
  }

  VulkanExecutable& exe_;
  VulkanExecutable::Recording& recording_;
  Recorder& out_;
  bool few_;
  uint64_t step_;
  std::vector<Quantized> quantized_;           // at most WorkLayout::kQuantSlots, the oldest first
  std::vector<plan::ValueId> without_floats_;  // that were written as int8 alone
  int next_slot_ = 0;
  size_t next_delta_ = 0;
  size_t next_op_ = 0;
};

}  // namespace moraine::vulkan
