// Row-wise stages: for each row, a short list of ops that touch nothing but that row.
#include <algorithm>
#include <cstring>

#include "backend/cpu/stages.h"
#include "quant/format.h"

namespace moraine::cpu {
namespace {

struct RowRunner {
  CpuExecutable& exe;
  const StepContext& ctx;
  const Kernels& k;
  int32_t r;
  int thread;

  float* row(plan::ValueId v) const { return exe.rows(v, ctx).row(r); }

  void operator()(const plan::Embed& op) const {
    const CpuWeight& w = exe.backend().weight(op.table);
    const DTypeInfo& t = info(w.decl.dtype);
    const int32_t token = ctx.step->tokens[r];
    float* out = row(op.out);
    // A row of the interleaved table goes back to the file's layout, then through its specification.
    auto* file_row = reinterpret_cast<uint8_t*>(exe.thread_scratch(thread));
    const int64_t n_blocks = w.decl.cols / t.block_len;
    w.layout->extract(w.data + token / kGroupRows * w.group_bytes, n_blocks, token % kGroupRows, file_row);
    quant::find(w.decl.dtype)->unpack_blocks(file_row, n_blocks, out);
    if (op.scale != 1.0f)
      for (int32_t i = 0; i < w.decl.cols; ++i) out[i] *= op.scale;
  }

  void operator()(const plan::RmsNorm& op) const {
    const float* in = row(op.in);
    float* out = row(op.out);
    const float* w = exe.backend().weight(op.weight).vector();
    for (int32_t g = 0; g < exe.value(op.in).width; g += op.group)
      k.rms_norm(in + g, w, op.group, op.eps, out + g);
  }

  void operator()(const plan::Gate& op) const {
    const auto apply = op.kind == plan::GateKind::kSilu ? k.silu_gate : k.sigmoid_gate;
    apply(row(op.inout), row(op.gate), exe.value(op.inout).width, exe.value(op.gate).width == 1 ? 0 : 1);
  }

  void operator()(const plan::Add& op) const { k.add(row(op.inout), row(op.in), exe.value(op.in).width); }

  void operator()(const plan::GatherOutputs& op) const {
    const float* in = exe.rows(op.in, ctx).row(ctx.step->output_rows[r]);
    std::memcpy(row(op.out), in, exe.value(op.in).width * sizeof(float));
  }

  void operator()(const RowRope& op) const {
    const RopeTable& t = exe.rope_table(op.table);
    const int32_t n = op.op.params.n_rot / 2;
    float* x = row(op.op.inout);
    const int kind = op.op.params.kind == plan::RopeKind::kNeox ? 0 : 1;
    for (int32_t h = 0; h < op.op.n_heads; ++h)
      k.rope(x + h * op.op.head_dim, t.cos.data() + r * n, t.sin.data() + r * n, n, kind);
  }

  void operator()(const RowStoreKv& s) const {
    const CpuBackend& be = exe.backend();
    const int32_t pos = ctx.step->positions[r];
    uint8_t* page = be.page(ctx.step->page_tables[ctx.step->sequences[r]][pos / plan::kPageTokens]);
    const int32_t slot = pos % plan::kPageTokens;
    const StoreFn store_k = k.store_k[static_cast<int>(be.kv_type_k())];
    const StoreFn store_v = k.store_v[static_cast<int>(be.kv_type_v())];
    const plan::Attention& op = s.op;
    for (int32_t h = 0; h < op.n_kv_heads; ++h) {
      store_k(row(op.k) + h * op.head_dim, op.head_dim, slot, page + be.k_offset(op.layer, h));
      store_v(row(op.v) + h * op.head_dim, op.head_dim, slot, page + be.v_offset(op.layer, h));
    }
  }

  void operator()(const RowQuantize& op) const {
    const QuantBuffer& b = op.out;
    const int64_t i = r;
    (b.width == 32 ? k.quantize32 : k.quantize256)(row(op.in), b.k, b.q + i * b.k, b.d + i * (b.k / b.width),
                                                   b.sums + i * (b.k / 16));
  }
};

}  // namespace

void RowStage::run(CpuExecutable& exe, const StepContext& ctx) noexcept {
  const int32_t n = ctx.extent(extent_);
  const Kernels& k = exe.backend().kernels();
  ThreadPool& pool = exe.backend().pool();
  const int32_t chunk = std::max(1, n / (4 * pool.size()));
  pool.run((n + chunk - 1) / chunk, [&](int task, int thread) {
    const int32_t end = std::min(n, (task + 1) * chunk);
    for (int32_t r = task * chunk; r < end; ++r) {
      RowRunner run{exe, ctx, k, r, thread};
      for (const RowOp& op : ops_) std::visit(run, op);
    }
  });
}

}  // namespace moraine::cpu
