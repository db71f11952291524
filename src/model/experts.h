// The mixture of experts that several architectures share (Shazeer et al., arXiv 1701.06538; as Qwen has it):
// a router's softmax, the most likely experts, each a SwiGLU, and where a model has it one shared expert
// that every token passes, scaled by its own sigmoid gate.
#pragma once

#include <string>

#include "model/model.h"

namespace moraine::model {

struct ExpertsConfig {
  int32_t n_experts, top_k, n_ff, n_ff_shared;  // n_ff_shared 0: no shared expert
  bool normalise;                               // the chosen experts' probabilities sum to one
  // Reads expert_count, expert_used_count, expert_feed_forward_length, expert_shared_feed_forward_length,
  // expert_weights_norm (default: true, as in every Qwen 3).
  explicit ExpertsConfig(const Hparams& h);
};

// One layer's tensors and its part of the plan.
class Experts {
 public:
  // prefix: "blk.0.". Takes gate and up apart or fused in ffn_gate_up_exps.
  Experts(Tensors& t, const std::string& prefix, int32_t n_embd, const ExpertsConfig& c);
  // h, normalised: [rows, n_embd]. Returns [rows, n_embd].
  plan::ValueId forward(plan::Builder& b, plan::ValueId h, const ExpertsConfig& c) const;

 private:
  plan::WeightId router_, gate_, up_, down_;
  plan::WeightId shared_router_ = plan::kNoWeight, shared_gate_ = plan::kNoWeight, shared_up_, shared_down_;
};

}  // namespace moraine::model
