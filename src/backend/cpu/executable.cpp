#include "backend/cpu/executable.h"

#include <algorithm>

#include "backend/cpu/stages.h"
#include "base/check.h"
#include "plan/rope.h"

namespace moraine::cpu {

using plan::ValueId;

namespace {

constexpr int32_t kDecodeRows = 8;  // a step of more rows reads a prompt

// Nothing: what stands before it has run when it is reached.
class PauseStage final : public Stage {
 public:
  void run(CpuExecutable&, const StepContext&) noexcept override {}
  bool pauses() const override { return true; }
};

}  // namespace

CpuExecutable::CpuExecutable(CpuBackend& backend, const plan::Plan& plan, const plan::StepLimits& limits)
    : backend_(backend), plan_(plan), limits_(limits) {
  compile();
  look_ahead();
  scratch_ = std::make_unique<Mapping>(layout_.size_bytes);
  split_ = std::make_unique<Mapping>(split_bytes_);
  moe_ = std::make_unique<Mapping>(moe_bytes_);
  sequence_rows_.reserve(limits_.max_rows);
  tentative_.reserve(limits_.max_rows);
  pair_scratch_ = std::make_unique<Mapping>(4 * pair_floats_);
  thread_scratch_ = std::make_unique<Mapping>(4 * thread_scratch_floats_ * backend_.pool().size());
}

CpuExecutable::~CpuExecutable() = default;

uint64_t CpuExecutable::scratch_bytes() const {
  uint64_t n = scratch_->size() + quant_memory_->size() + split_->size() + moe_->size() +
               pair_scratch_->size() + thread_scratch_->size();
  for (const auto& stage : stages_) n += stage->scratch_bytes();
  for (const RopeTable& t : ropes_) n += 4 * (t.cos.size() + t.sin.size());
  return n;
}

Rows CpuExecutable::rows(ValueId v, const StepContext& ctx) const {
  if (v == plan_.output) return {ctx.logits, ctx.logits_stride};
  return {reinterpret_cast<float*>(scratch_->data() + layout_.offsets[v]),
          plan::row_stride(plan_.values[v].width)};
}

int CpuExecutable::rope_index(const plan::RopeParams& p) {
  for (size_t i = 0; i < ropes_.size(); ++i)
    if (plan::same_angles(ropes_[i].params, p)) return static_cast<int>(i);
  RopeTable t;
  t.params = p;
  t.freq = plan::rope_frequencies(
      p, p.freq_factors == plan::kNoWeight ? nullptr : backend_.weight(p.freq_factors).vector());
  t.cos.resize(limits_.max_rows * t.freq.size());
  t.sin.resize(limits_.max_rows * t.freq.size());
  ropes_.push_back(std::move(t));
  return static_cast<int>(ropes_.size()) - 1;
}

void CpuExecutable::fill_ropes(const StepContext& ctx) noexcept {
  for (RopeTable& t : ropes_) {
    const size_t n = t.freq.size();
    backend_.pool().run((ctx.n_rows + 15) / 16, [&](int task, int) {
      for (int32_t r = task * 16; r < std::min(ctx.n_rows, task * 16 + 16); ++r)
        plan::fill_rope_row(t.params, t.freq, ctx.step->positions[r], t.cos.data() + r * n,
                            t.sin.data() + r * n);
    });
  }
}

void CpuExecutable::find_sequences(const StepContext& ctx) noexcept {
  sequence_rows_.clear();
  const auto sequence = ctx.step->sequences;
  for (int32_t r = 0; r < ctx.n_rows; ++r) {
    if (r > 0 && sequence[r] == sequence[r - 1])
      ++sequence_rows_.back().n;
    else
      sequence_rows_.push_back({r, 1});
  }
  tentative_.clear();
  int32_t n = 0;
  for (size_t i = 0; i < ctx.step->tentative.size(); ++i) {
    tentative_.push_back({ctx.step->states.empty() ? -1 : ctx.step->states[i], n, ctx.step->tentative[i]});
    n += ctx.step->tentative[i];
  }
  MORAINE_CHECK(n <= limits_.max_tentative);
}

namespace {

// Compiles ops in order, keeping one open row stage and one open product stage to append to.
class StageBuilder {
 public:
  StageBuilder(std::vector<std::unique_ptr<Stage>>& stages, const plan::Plan& plan)
      : stages_(stages), plan_(plan) {}

  // A row-wise op may join the last stage only if that stage walks the same rows.
  void row_op(plan::Extent extent, RowOp op) {
    products_ = nullptr;
    if (!rows_ || rows_->extent() != extent) {
      auto stage = std::make_unique<RowStage>(extent);
      rows_ = stage.get();
      stages_.push_back(std::move(stage));
    }
    rows_->append(std::move(op));
  }

  MatmulStage& products(ValueId in, const QuantBuffer* quant) {
    const int32_t width = quant ? quant->width : 0;
    if (!products_ || in != products_in_ || width != products_width_) {
      auto stage = std::make_unique<MatmulStage>(plan_.values[in].extent, in, quant);
      products_ = stage.get();
      products_in_ = in;
      products_width_ = width;
      stages_.push_back(std::move(stage));
    }
    rows_ = nullptr;
    return *products_;
  }

  // Also ends what stands open.
  void other(std::unique_ptr<Stage> stage) {
    rows_ = nullptr;
    products_ = nullptr;
    stages_.push_back(std::move(stage));
  }

 private:
  std::vector<std::unique_ptr<Stage>>& stages_;
  const plan::Plan& plan_;
  RowStage* rows_ = nullptr;
  MatmulStage* products_ = nullptr;
  ValueId products_in_ = -1;
  int32_t products_width_ = 0;
};

}  // namespace

void CpuExecutable::compile() {
  StageBuilder out(stages_, plan_);

  // One buffer for each block width, as large as the widest activation needs; a value stays quantised
  // until it is written again or another takes the buffer.
  auto width_of = [&](plan::WeightId w) {
    return static_cast<int32_t>(backend_.weight(w).layout->scale_width);
  };
  int64_t widest[2] = {};  // widths 32, 256: floats of the largest [rows, k]
  auto slot_of = [](int32_t width) { return width == 32 ? 0 : 1; };
  auto max_rows_of = [&](ValueId v) {
    return plan_.values[v].extent == plan::Extent::kRows ? limits_.max_rows : limits_.max_outputs;
  };
  auto need_thread_scratch = [&](int64_t floats) {
    thread_scratch_floats_ = std::max(thread_scratch_floats_, floats);
  };
  auto note = [&](ValueId in, plan::WeightId w) {
    if (const int32_t width = width_of(w))
      widest[slot_of(width)] =
          std::max(widest[slot_of(width)], int64_t{max_rows_of(in)} * plan_.values[in].width);
  };
  for (const plan::Op& op : plan_.ops) {
    if (auto* m = std::get_if<plan::Matmul>(&op)) note(m->in, m->weight);
    if (auto* f = std::get_if<plan::GatedFfn>(&op)) {
      note(f->in, f->gate);
      note(f->in, f->up);
      pair_floats_ = std::max(pair_floats_,
                              uint64_t(max_rows_of(f->out)) * plan::row_stride(plan_.values[f->out].width));
    }
    if (auto* e = std::get_if<plan::Embed>(&op)) need_thread_scratch(plan_.values[e->out].width + 64);
    if (auto* m = std::get_if<plan::Moe>(&op)) {
      note(m->in, m->gate);
      note(m->in, m->up);
      need_thread_scratch(MoeStage::thread_floats(*m, plan_.values[m->in].width));
    }
    if (auto* g = std::get_if<plan::GatedDeltaNet>(&op))
      need_thread_scratch(DeltaNetStage::thread_floats(*g, limits_));
    if (auto* a = std::get_if<plan::Attention>(&op)) need_thread_scratch(AttentionStage::thread_floats(*a));
  }
  thread_scratch_floats_ = (thread_scratch_floats_ + 15) / 16 * 16;
  QuantBuffer buffers[2];
  {
    auto bytes = [](int64_t n, int width) {
      return (n + 63) / 64 * 64 + (4 * n / width + 63) / 64 * 64 + (2 * n / 16 + 63) / 64 * 64;
    };
    quant_memory_ = std::make_unique<Mapping>(bytes(widest[0], 32) + bytes(widest[1], 256));
    uint8_t* p = quant_memory_->data();
    for (int s = 0; s < 2; ++s) {
      buffers[s].width = s == 0 ? 32 : 256;
      buffers[s].q = reinterpret_cast<int8_t*>(p);
      p += (widest[s] + 63) / 64 * 64;
      buffers[s].d = reinterpret_cast<float*>(p);
      p += (4 * widest[s] / buffers[s].width + 63) / 64 * 64;
      buffers[s].sums = reinterpret_cast<int16_t*>(p);
      p += (2 * widest[s] / 16 + 63) / 64 * 64;
    }
  }

  ValueId quantised[2] = {-1, -1};  // what each buffer holds
  auto quant_for = [&](ValueId in, plan::WeightId w) -> const QuantBuffer* {
    const int32_t width = width_of(w);
    if (width == 0) return nullptr;
    QuantBuffer& b = buffers[slot_of(width)];
    b.k = plan_.values[in].width;
    if (quantised[slot_of(width)] != in) {
      out.row_op(plan_.values[in].extent, RowQuantize{in, b});
      quantised[slot_of(width)] = in;
    }
    return &b;
  };

  std::vector<int> phases;  // the stage of each op: rows of one stage run side by side
  for (const plan::Op& op : plan_.ops) {
    plan::for_each_value(op, [&](ValueId v, bool written) {
      for (ValueId& q : quantised)
        if (written && q == v) q = -1;
    });
    std::visit(
        [&](const auto& o) {
          using T = std::decay_t<decltype(o)>;
          if constexpr (std::is_same_v<T, plan::Matmul>) {
            out.products(o.in, quant_for(o.in, o.weight)).append(o);
          } else if constexpr (std::is_same_v<T, plan::GatedFfn>) {
            const QuantBuffer *gate = quant_for(o.in, o.gate), *up = quant_for(o.in, o.up);
            out.products(o.in, gate).append(o, up);
          } else if constexpr (std::is_same_v<T, plan::Attention>) {
            out.row_op(plan::Extent::kRows, RowStoreKv{o});
            out.other(std::make_unique<AttentionStage>(o, *this));
          } else if constexpr (std::is_same_v<T, plan::Rope>) {
            out.row_op(plan::Extent::kRows, RowRope{o, rope_index(o.params)});
          } else if constexpr (std::is_same_v<T, plan::Moe>) {
            const QuantBuffer *gate = quant_for(o.in, o.gate), *up = quant_for(o.in, o.up);
            out.other(std::make_unique<MoeStage>(o, gate, up, *this));
          } else if constexpr (std::is_same_v<T, plan::GatedDeltaNet>) {
            out.other(std::make_unique<DeltaNetStage>(o, *this));
          } else if constexpr (std::is_same_v<T, plan::Exchange>) {
            out.other(std::make_unique<PauseStage>());
          } else if constexpr (std::is_same_v<T, plan::Gate>) {
            out.row_op(plan_.values[o.inout].extent, o);
          } else if constexpr (std::is_same_v<T, plan::Add>) {
            out.row_op(plan_.values[o.in].extent, o);
          } else {
            out.row_op(plan_.values[o.out].extent, o);
          }
        },
        op);
    phases.push_back(static_cast<int>(stages_.size()) - 1);
  }
  layout_ = lay_out_scratch(plan_, limits_.max_rows, limits_.max_outputs, phases);
}

// From a stage that knows its weights on, threads that wait fetch what the next such stage begins with; from
// the last one on, what the next step does.
void CpuExecutable::look_ahead() {
  const int n_threads = backend_.n_threads();
  ahead_.resize(stages_.size());
  std::vector<size_t> reading;
  for (size_t i = 0; i < stages_.size(); ++i)
    if (!stages_[i]->first_read(backend_, 0, n_threads).empty()) reading.push_back(i);
  for (size_t i = 0; i < reading.size(); ++i) {
    const Stage& next = *stages_[reading[(i + 1) % reading.size()]];
    for (int t = 0; t < n_threads; ++t) ahead_[reading[i]].push_back(next.first_read(backend_, t, n_threads));
  }
}

plan::Status CpuExecutable::submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept {
  MORAINE_CHECK(static_cast<int32_t>(step.tokens.size()) <= limits_.max_rows);
  MORAINE_CHECK(static_cast<int32_t>(step.output_rows.size()) <= limits_.max_outputs);
  for (const int32_t position : step.positions) MORAINE_CHECK(position < limits_.max_context);
  StepContext& ctx = running_;
  ctx.step = &step;
  ctx.n_rows = static_cast<int32_t>(step.tokens.size());
  ctx.n_outputs = static_cast<int32_t>(step.output_rows.size());
  ctx.logits = logits;
  ctx.logits_stride = logits_stride;
  backend_.pool().set_active(ctx.n_rows > kDecodeRows ? backend_.n_threads_batch() : backend_.n_threads());
  fill_ropes(ctx);
  find_sequences(ctx);
  next_stage_ = 0;
  return resume();
}

plan::Status CpuExecutable::resume() noexcept {
  while (next_stage_ < stages_.size()) {
    Stage& stage = *stages_[next_stage_++];
    if (stage.pauses()) break;
    if (running_.n_rows <= kDecodeRows) {
      const auto& ahead = ahead_[next_stage_ - 1];
      for (size_t t = 0; t < ahead.size(); ++t) backend_.pool().read_ahead(static_cast<int>(t), ahead[t]);
    }
    stage.run(*this, running_);
  }
  return plan::Status::kOk;
}

void CpuExecutable::keep(std::span<const int32_t> rows) noexcept {
  MORAINE_CHECK(rows.size() == tentative_.size());
  bool any = false;
  for (size_t i = 0; i < rows.size(); ++i) {
    MORAINE_CHECK(rows[i] <= tentative_[i].n);
    tentative_[i].n = rows[i];
    any |= rows[i] > 0;
  }
  if (any)
    for (auto& stage : stages_) stage->keep(*this);
  tentative_.clear();
}

}  // namespace moraine::cpu
