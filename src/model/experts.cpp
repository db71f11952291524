#include "model/experts.h"

namespace moraine::model {

constexpr int32_t kSoftmax = 1;  // of the file format's gating functions; 0: not said

ExpertsConfig::ExpertsConfig(const Hparams& h) {
  n_experts = h.integer("expert_count", 1, 1 << 14);
  top_k = h.integer("expert_used_count", 1, n_experts);
  n_ff = h.integer("expert_feed_forward_length", 1, 1 << 20);
  n_ff_shared = h.integer_or("expert_shared_feed_forward_length", 0, 0, 1 << 20);
  normalise = h.flag_or("expert_weights_norm", true);
  // What other families do, and would be computed wrongly here.
  if (h.integer_or("expert_gating_func", kSoftmax, 0, 255) > kSoftmax)
    h.fail("expert_gating_func", "is not a softmax, the only gating that runs here so far");
  if (h.has("expert_weights_scale") && h.positive("expert_weights_scale") != 1.0f)
    h.fail("expert_weights_scale", "is not 1; scaled experts do not run here yet");
}

Experts::Experts(Tensors& t, const std::string& p, int32_t n_embd, const ExpertsConfig& c) {
  router_ = t.matrix(p + "ffn_gate_inp.weight", n_embd, c.n_experts);
  const std::string fused = p + "ffn_gate_up_exps.weight";
  if (t.has(fused)) {
    gate_ = t.experts_part(fused, n_embd, 2 * c.n_ff, c.n_experts, 0, c.n_ff);
    up_ = t.experts_part(fused, n_embd, 2 * c.n_ff, c.n_experts, c.n_ff, c.n_ff);
  } else {
    gate_ = t.experts(p + "ffn_gate_exps.weight", n_embd, c.n_ff, c.n_experts);
    up_ = t.experts(p + "ffn_up_exps.weight", n_embd, c.n_ff, c.n_experts);
  }
  down_ = t.experts(p + "ffn_down_exps.weight", c.n_ff, n_embd, c.n_experts);
  if (c.n_ff_shared == 0) return;
  shared_router_ = t.matrix(p + "ffn_gate_inp_shexp.weight", n_embd, 1);
  shared_gate_ = t.matrix(p + "ffn_gate_shexp.weight", n_embd, c.n_ff_shared);
  shared_up_ = t.matrix(p + "ffn_up_shexp.weight", n_embd, c.n_ff_shared);
  shared_down_ = t.matrix(p + "ffn_down_shexp.weight", c.n_ff_shared, n_embd);
}

plan::ValueId Experts::forward(plan::Builder& b, plan::ValueId h, const ExpertsConfig& c) const {
  plan::Moe moe = {};
  moe.gate = gate_, moe.up = up_, moe.down = down_;
  moe.n_experts = c.n_experts, moe.top_k = c.top_k, moe.n_ff = c.n_ff;
  moe.normalise = c.normalise;
  moe.act = plan::Activation::kSilu;
  const plan::ValueId router = b.matmul(h, router_);
  if (shared_router_ == plan::kNoWeight) return b.moe(h, router, moe);
  const plan::ValueId gate = b.matmul(h, shared_router_);  // beside the router: both read h as floats
  const plan::ValueId out = b.moe(h, router, moe);
  const plan::ValueId shared =
      b.matmul(b.gated_ffn(h, shared_gate_, shared_up_, plan::Activation::kSilu), shared_down_);
  b.gate(shared, gate, plan::GateKind::kSigmoid);  // one gate for the whole row
  b.add(out, shared);
  return out;
}

}  // namespace moraine::model
