// What decoders share: the hyperparameters that files name alike, grouped-query attention with rotary
// positions, and gated feed-forwards. An architecture takes what it has in common and writes out what
// differs; a mixture of experts is experts.h.
#pragma once

#include <cstdint>
#include <string>

#include "model/model.h"

namespace moraine::model {

// Hyperparameters of the whole decoder.
struct DecoderConfig {
  int32_t n_layers, n_embd, n_vocab, n_ctx_train;
  float rms_eps;
  // Reads block_count, context_length, embedding_length, attention.layer_norm_rms_epsilon and the
  // vocabulary's size.
  explicit DecoderConfig(const Hparams& h);
};

// The shape of attention, the same in every layer that attends.
struct AttentionConfig {
  int32_t n_heads, n_kv_heads, head_dim;
  float scale;  // of scores: head_dim^-1/2

  // Reads attention.head_count, head_count_kv (one number, or one for each layer; layers with none do not
  // attend; missing: n_heads), key_length (missing: the fallback) and value_length, which must be the same.
  AttentionConfig(const Hparams& h, int32_t n_layers, int32_t head_dim_fallback);

  int32_t q_width() const { return n_heads * head_dim; }
  int32_t kv_width() const { return n_kv_heads * head_dim; }
};

// Rotary positions: rope.dimension_count (missing: n_rot_fallback), rope.freq_base and rope.scaling.*, which
// is none, linear or yarn; any other scaling is refused. Magnitudes are those of the published code: with
// yarn 0.1 ln(factor) + 1, by rope.scaling.yarn_log_multiplier less of it, or what
// rope.scaling.yarn_attn_factor says.
plan::RopeParams read_rope(const Hparams& h, plan::RopeKind kind, int32_t head_dim, int32_t n_rot_fallback,
                           float base_fallback);

// One layer's attention (Ainslie et al., arXiv 2305.13245; Su et al., 2104.09864).
class Attention {
 public:
  enum class Biases : uint8_t {
    kWhereFound,
    kQkv
  };  // on the projections; kQkv: those of q, k and v must be there
  enum class HeadNorms : uint8_t { kNone, kQk };  // RMSNorm of q and k, by head

  // prefix: "blk.0.". Binds attn_q, attn_k, attn_v, attn_output, and attn_q_norm, attn_k_norm.
  Attention(Tensors& t, const std::string& prefix, int32_t n_embd, const AttentionConfig& c, Biases biases,
            HeadNorms norms);

  struct Positions {
    plan::RopeParams q, k;  // alike but for the temperature of queries
    int32_t window = 0;     // 0: everything before
  };
  // h, normalised: [rows, n_embd]. kv_layer: index into the model's KvShape. Returns [rows, n_embd].
  plan::ValueId forward(plan::Builder& b, plan::ValueId h, int32_t kv_layer, const AttentionConfig& c,
                        float rms_eps, const Positions& positions) const;

 private:
  plan::WeightId q_, k_, v_, output_;
  plan::WeightId q_bias_, k_bias_, v_bias_, output_bias_;
  plan::WeightId q_norm_ = plan::kNoWeight, k_norm_ = plan::kNoWeight;
};

// One layer's gated feed-forward (Shazeer, arXiv 2002.05202).
class FeedForward {
 public:
  // Binds ffn_gate, ffn_up, ffn_down.
  FeedForward(Tensors& t, const std::string& prefix, int32_t n_embd, int32_t n_ff);
  // h, normalised: [rows, n_embd]. Returns [rows, n_embd].
  plan::ValueId forward(plan::Builder& b, plan::ValueId h, plan::Activation act) const;

 private:
  plan::WeightId gate_, up_, down_;
};

}  // namespace moraine::model
