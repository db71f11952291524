// Turns a plan's ops into dispatches. Each op's push constants are a struct here, in the order of the
// block in its shader (shaders/*.comp).
#include <fmt/format.h>

#include <algorithm>

#include "backend/vulkan/executable.h"

namespace moraine::vulkan {

constexpr uint32_t kMatmulTile = 8;    // rows by workgroup, kTile in dot.glsl
constexpr uint32_t kMatmulLanes = 64;  // local_size_x there
constexpr int32_t kMaxHeadDim = 1024;  // in attend.comp

class OpRecorder {
 public:
  OpRecorder(VulkanExecutable& exe, Recorder& out)
      : exe_(exe), out_(out), step_(exe.step_buffer_->address()) {}

  void operator()(const plan::Embed& op) {
    struct {
      uint64_t table, tokens, dst;
      int32_t width, stride;
      float scale;
      int32_t unused;
    } push = {weight(op.table), step_ + exe_.step_.tokens, at(op.out), width(op.out), stride(op.out),
              op.scale};
    run(Shader::kEmbed, 1, op.out, push, {}, {range(op.out)});
  }

  void operator()(const plan::RmsNorm& op) {
    struct {
      uint64_t src, dst, weight;
      int32_t group, stride;
      float eps;
      int32_t unused;
    } push = {at(op.in), at(op.out), weight(op.weight), op.group, stride(op.in), op.eps};
    run(Shader::kRmsNorm, width(op.in) / op.group, op.out, push, {range(op.in)}, {range(op.out)});
  }

  void operator()(const plan::Matmul& op) {
    struct {
      uint64_t weight, bias, src, dst, n_rows;
      int32_t n, k, src_stride, dst_stride;
    } push = {weight(op.weight), op.bias == plan::kNoWeight ? 0 : weight(op.bias),
              at(op.in),         at(op.out),
              count(op.out),     width(op.out),
              width(op.in),      stride(op.in),
              stride(op.out)};
    run(Shader::kMatmul, matmul_groups(op.out), op.out, push, {range(op.in)}, {range(op.out)}, kMatmulTile);
  }

  void operator()(const plan::GatedFfn& op) {
    struct {
      uint64_t gate, up, src, dst, n_rows;
      int32_t n, k, src_stride, dst_stride, act, unused;
    } push = {weight(op.gate), weight(op.up),
              at(op.in),       at(op.out),
              count(op.out),   width(op.out),
              width(op.in),    stride(op.in),
              stride(op.out),  op.act == plan::Activation::kSilu ? 0 : 1};
    run(Shader::kGatedFfn, matmul_groups(op.out), op.out, push, {range(op.in)}, {range(op.out)}, kMatmulTile);
  }

  void operator()(const plan::Rope& op) {
    struct {
      uint64_t x, table;
      int32_t stride, head_dim, n_pairs, adjacent;
    } push = {at(op.inout),        step_ + exe_.step_.ropes[exe_.rope_index(op.params)],
              stride(op.inout),    op.head_dim,
              op.params.n_rot / 2, op.params.kind == plan::RopeKind::kAdjacent};
    run(Shader::kRope, op.n_heads, op.inout, push, {}, {range(op.inout)});
  }

  void operator()(const plan::Attention& op) {
    if (op.head_dim > kMaxHeadDim || op.head_dim % 4 != 0)
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format(
              "Attention heads of {} values do not run on Vulkan: it takes multiples of 4 up to {}. Run on "
              "the CPU with -ngl 0.",
              op.head_dim, kMaxHeadDim));
    const KvLayout::Layer& kv = exe_.backend_.kv().layers[op.layer];
    const uint64_t positions = step_ + exe_.step_.positions, tables = step_ + exe_.step_.tables,
                   pages = step_ + exe_.step_.pages;
    const Constants formats = {exe_.backend_.kv_type_k() == KvType::kF16 ? 0u : 1u,
                               exe_.backend_.kv_type_v() == KvType::kF16 ? 0u : 1u};
    // A layer's cache lies in pages all over memory; addresses this low stand for it, as no buffer has them.
    const Range cache = {static_cast<uint64_t>(op.layer), static_cast<uint64_t>(op.layer) + 1};
    struct {
      uint64_t k, v, positions, tables, pages, k_offset, v_offset;
      int32_t stride, head_dim;
    } store = {at(op.k), at(op.v), positions, tables, pages, kv.k, kv.v, stride(op.k), op.head_dim};
    run(Shader::kStoreKv, op.n_kv_heads, op.k, store, {range(op.k), range(op.v)}, {cache}, 1, formats);
    struct {
      uint64_t q, dst, positions, tables, pages, k_offset, v_offset;
      int32_t stride, head_dim, heads_per_kv, window;
      float scale;
      int32_t unused;
    } attend = {at(op.q),  at(op.out), positions,    tables,      pages,
                kv.k,      kv.v,       stride(op.q), op.head_dim, op.n_heads / op.n_kv_heads,
                op.window, op.scale};
    run(Shader::kAttend, op.n_heads, op.out, attend, {range(op.q), cache}, {range(op.out)}, 1, formats);
  }

  void operator()(const plan::Gate& op) { refuse(op); }
  void operator()(const plan::Moe& op) { refuse(op); }
  void operator()(const plan::GatedDeltaNet& op) { refuse(op); }

  void operator()(const plan::Add& op) {
    struct {
      uint64_t x, y;
      int32_t width, stride;
    } push = {at(op.inout), at(op.in), width(op.inout), stride(op.inout)};
    run(Shader::kAdd, elementwise_groups(op.inout), op.inout, push, {range(op.in)}, {range(op.inout)});
  }

  void operator()(const plan::GatherOutputs& op) {
    struct {
      uint64_t src, dst, output_rows;
      int32_t width, stride;
    } push = {at(op.in), at(op.out), step_ + exe_.step_.output_rows, width(op.in), stride(op.in)};
    run(Shader::kGather, elementwise_groups(op.out), op.out, push, {range(op.in)}, {range(op.out)});
  }

 private:
  [[noreturn]] static void refuse(const plan::Op& op) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("This model needs {}, which does not run on Vulkan yet. Run it on the CPU.",
                            plan::op_name(op)));
  }
  const plan::Value& value(plan::ValueId v) const { return exe_.plan_.values[v]; }
  int32_t width(plan::ValueId v) const { return value(v).width; }
  int32_t stride(plan::ValueId v) const { return plan::row_stride(value(v).width); }
  uint64_t weight(plan::WeightId w) const { return exe_.backend_.weight(w).place.address(); }
  uint64_t at(plan::ValueId v) const {
    return v == exe_.plan_.output ? exe_.logits_->address()
                                  : exe_.scratch_->address() + exe_.scratch_layout_.offsets[v];
  }
  Range range(plan::ValueId v) const {
    const uint64_t rows =
        value(v).extent == plan::Extent::kRows ? exe_.limits_.max_rows : exe_.limits_.max_outputs;
    return {at(v), at(v) + rows * stride(v) * sizeof(float)};
  }
  // Where the step says how many rows a value has.
  uint64_t count(plan::ValueId v) const {
    return step_ + exe_.step_.counts + (value(v).extent == plan::Extent::kRows ? 0 : sizeof(int32_t));
  }
  uint32_t matmul_groups(plan::ValueId out) const {
    const uint32_t rows = kMatmulLanes / exe_.backend_.device().physical().subgroup_size;
    return (width(out) + rows - 1) / rows;
  }
  uint32_t elementwise_groups(plan::ValueId v) const { return (width(v) + 255) / 256; }

  // x workgroups for every rows_per_group rows of `rows_of`.
  template <class Push>
  void run(Shader shader, uint32_t x, plan::ValueId rows_of, const Push& push,
           std::initializer_list<Range> reads, std::initializer_list<Range> writes,
           uint32_t rows_per_group = 1, Constants constants = {}) {
    const uint32_t groups = std::min(x, exe_.backend_.device().max_workgroups_x());
    const uint64_t arguments = exe_.step_.arguments + exe_.grids_.size() * sizeof(VkDispatchIndirectCommand);
    exe_.grids_.push_back({groups, value(rows_of).extent, rows_per_group});
    out_.dispatch({exe_.backend_.pipelines().get(shader, constants), arguments}, push, reads, writes);
  }

  VulkanExecutable& exe_;
  Recorder& out_;
  uint64_t step_;
};

void VulkanExecutable::record() {
  Recorder recorder(backend_.device(), backend_.pipelines().layout(), commands_, step_buffer_->handle());
  recorder.start();
  OpRecorder ops(*this, recorder);
  for (const plan::Op& op : plan_.ops) {
    std::visit(ops, op);
    if (std::holds_alternative<plan::Add>(op)) recorder.cut();  // twice a layer
  }
  recorder.finish();
  n_barriers_ = recorder.n_barriers();
}

}  // namespace moraine::vulkan
