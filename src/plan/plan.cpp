#include "plan/plan.h"

#include <algorithm>

#include "base/check.h"

namespace moraine::plan {

const char* op_name(const Op& op) noexcept {
  static constexpr const char* kNames[] = {"embed",          "rms_norm", "matmul", "gated_ffn",       "rope",
                                           "attention",      "gate",     "moe",    "gated_delta_net", "add",
                                           "gather_outputs", "exchange"};
  static_assert(std::size(kNames) == std::variant_size_v<Op>);
  return kNames[op.index()];
}

ValueId Builder::value(int32_t width, Extent extent) {
  MORAINE_CHECK(width > 0);
  plan_.values.push_back({width, extent});
  return static_cast<ValueId>(plan_.values.size()) - 1;
}

ValueId Builder::embed(WeightId table, float scale) {
  ValueId out = value(weight(table).cols, Extent::kRows);
  plan_.ops.push_back(Embed{table, out, scale});
  return out;
}

ValueId Builder::rms_norm(ValueId in, WeightId w, float eps, int32_t group) {
  const Value v = plan_.values[in];
  if (group == 0) group = v.width;
  MORAINE_CHECK(v.width % group == 0 && weight(w).cols == group);
  ValueId out = value(v.width, v.extent);
  plan_.ops.push_back(RmsNorm{in, out, w, group, eps});
  return out;
}

ValueId Builder::matmul(ValueId in, WeightId w, WeightId bias) {
  const Value v = plan_.values[in];
  MORAINE_CHECK(weight(w).cols == v.width);
  MORAINE_CHECK(bias == kNoWeight || weight(bias).cols == weight(w).rows);
  ValueId out = value(weight(w).rows, v.extent);
  plan_.ops.push_back(Matmul{in, out, w, bias});
  return out;
}

ValueId Builder::gated_ffn(ValueId in, WeightId gate, WeightId up, Activation act) {
  const Value v = plan_.values[in];
  MORAINE_CHECK(weight(gate).cols == v.width && weight(up).cols == v.width);
  MORAINE_CHECK(weight(gate).rows == weight(up).rows);
  ValueId out = value(weight(gate).rows, v.extent);
  plan_.ops.push_back(GatedFfn{in, out, gate, up, act});
  return out;
}

void Builder::rope(ValueId inout, int32_t n_heads, int32_t head_dim, const RopeParams& p) {
  MORAINE_CHECK(plan_.values[inout].width == n_heads * head_dim);
  MORAINE_CHECK(p.n_rot > 0 && p.n_rot % 2 == 0 && p.n_rot <= head_dim);
  plan_.ops.push_back(Rope{inout, n_heads, head_dim, p});
}

ValueId Builder::attention(ValueId q, ValueId k, ValueId v, Attention a) {
  MORAINE_CHECK(width(q) == a.n_heads * a.head_dim && a.n_heads % a.n_kv_heads == 0);
  MORAINE_CHECK(width(k) == a.n_kv_heads * a.head_dim && width(v) == width(k));
  a.q = q, a.k = k, a.v = v;
  a.out = value(width(q), Extent::kRows);
  plan_.ops.push_back(a);
  return a.out;
}

void Builder::gate(ValueId inout, ValueId gate, GateKind kind) {
  MORAINE_CHECK(width(gate) == width(inout) || width(gate) == 1);
  MORAINE_CHECK(plan_.values[inout].extent == plan_.values[gate].extent);
  plan_.ops.push_back(Gate{inout, gate, kind});
}

ValueId Builder::moe(ValueId in, ValueId router, Moe m) {
  MORAINE_CHECK(width(router) == m.n_experts && m.top_k > 0 && m.top_k <= m.n_experts);
  MORAINE_CHECK(plan_.values[in].extent == Extent::kRows && plan_.values[router].extent == Extent::kRows);
  MORAINE_CHECK(weight(m.gate).cols == width(in) && weight(m.up).cols == width(in));
  MORAINE_CHECK(weight(m.gate).rows == m.n_experts * m.n_ff && weight(m.up).rows == weight(m.gate).rows);
  MORAINE_CHECK(weight(m.down).cols == m.n_ff && weight(m.down).rows == m.n_experts * width(in));
  m.in = in, m.router = router;
  m.out = value(width(in), Extent::kRows);
  plan_.ops.push_back(m);
  return m.out;
}

ValueId Builder::gated_delta_net(ValueId qkv, ValueId a, ValueId b, GatedDeltaNet g) {
  MORAINE_CHECK(width(qkv) == g.n_channels() && g.n_v_heads % g.n_k_heads == 0);
  MORAINE_CHECK(width(a) == g.n_v_heads && width(b) == g.n_v_heads);
  MORAINE_CHECK(weight(g.conv).cols == g.n_taps && weight(g.conv).rows == g.n_channels());
  MORAINE_CHECK(weight(g.a_scale).cols == g.n_v_heads && weight(g.dt_bias).cols == g.n_v_heads);
  g.qkv = qkv, g.a = a, g.b = b;
  g.out = value(g.n_v_heads * g.head_v, Extent::kRows);
  plan_.ops.push_back(g);
  return g.out;
}

void Builder::add(ValueId inout, ValueId in) {
  MORAINE_CHECK(width(inout) == width(in) && plan_.values[inout].extent == plan_.values[in].extent);
  plan_.ops.push_back(Add{inout, in});
}

ValueId Builder::gather_outputs(ValueId in) {
  MORAINE_CHECK(plan_.values[in].extent == Extent::kRows);
  ValueId out = value(width(in), Extent::kOutputs);
  plan_.ops.push_back(GatherOutputs{in, out});
  return out;
}

Plan Builder::finish(ValueId output) {
  plan_.output = output;
  return std::move(plan_);
}

ScratchLayout lay_out_scratch(const Plan& plan, int32_t max_rows, int32_t max_outputs,
                              std::span<const int> phases, const std::vector<bool>& elsewhere) {
  const size_t n = plan.values.size();
  std::vector<int> first(n, -1), last(n, -1);
  for (size_t i = 0; i < plan.ops.size(); ++i) {
    const int phase = phases.empty() ? static_cast<int>(i) : phases[i];
    for_each_value(plan.ops[i], [&](ValueId v, bool) {
      if (first[v] < 0) first[v] = phase;
      last[v] = phase;
    });
  }

  // First fit in order of birth: with a few live values at a time this is as good as any packing.
  struct Live {
    uint64_t begin, end;
    int last;
  };
  std::vector<Live> live;  // sorted by begin
  ScratchLayout out;
  out.offsets.assign(n, 0);
  std::vector<size_t> order(n);
  for (size_t v = 0; v < n; ++v) order[v] = v;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return first[a] < first[b]; });
  for (size_t v : order) {
    if (first[v] < 0) continue;
    std::erase_if(live, [&](const Live& l) { return l.last < first[v]; });
    const Value& val = plan.values[v];
    const uint64_t rows = val.extent == Extent::kRows ? max_rows : max_outputs;
    // The logits go to the caller's memory: with 262,144 of them a row they outweigh all the rest.
    if (static_cast<ValueId>(v) == plan.output || (!elsewhere.empty() && elsewhere[v])) continue;
    const uint64_t size = rows * row_stride(val.width) * sizeof(float);
    uint64_t at = 0;
    auto it = live.begin();
    for (; it != live.end() && it->begin < at + size; ++it) at = std::max(at, it->end);
    live.insert(it, Live{at, at + size, last[v]});
    std::sort(live.begin(), live.end(), [](const Live& a, const Live& b) { return a.begin < b.begin; });
    out.offsets[v] = at;
    out.size_bytes = std::max(out.size_bytes, at + size);
  }
  return out;
}

}  // namespace moraine::plan
