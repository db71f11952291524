#include "model/blocks.h"

#include <fmt/format.h>

#include <cmath>

namespace moraine::model {
namespace {

// The published 0.1 m ln(factor) + 1, which grows attention's logits as far as the context does.
float yarn_magnitude(float factor, float m) { return factor <= 1 ? 1.0f : 0.1f * m * std::log(factor) + 1; }

void read_yarn(const Hparams& h, plan::RopeParams& rope) {
  const float factor = h.positive_or("rope.scaling.factor", 1.0f);
  if (!(rope.freq_base > 1)) h.fail("rope.freq_base", "is not above 1, which yarn needs");
  rope.freq_scale = 1.0f / factor;
  rope.yarn_original_context =
      static_cast<float>(h.has("rope.scaling.original_context_length")
                             ? h.integer("rope.scaling.original_context_length", 1, INT32_MAX)
                             : h.integer("context_length", 1, INT32_MAX));
  rope.yarn_ext_factor = h.number_or("rope.scaling.yarn_ext_factor", 1.0f, 0.0f, 1.0f);
  rope.yarn_beta_fast = h.positive_or("rope.scaling.yarn_beta_fast", 32.0f);
  rope.yarn_beta_slow = h.positive_or("rope.scaling.yarn_beta_slow", 1.0f);
  // transformers' mscale_all_dim; its mscale is 1 in every file that has it.
  const float all_dims = h.number_or("rope.scaling.yarn_log_multiplier", 0.0f, 0.0f, 100.0f);
  rope.magnitude =
      h.positive_or("rope.scaling.yarn_attn_factor",
                    yarn_magnitude(factor, 1) / (all_dims ? yarn_magnitude(factor, all_dims) : 1));
}

}  // namespace

DecoderConfig::DecoderConfig(const Hparams& h)
    : n_layers(h.integer("block_count", 1, 1024)),
      n_embd(h.integer("embedding_length", 1, 1 << 20)),
      n_vocab(h.n_vocab()),
      n_ctx_train(h.integer("context_length", 1, INT32_MAX)),
      rms_eps(h.positive("attention.layer_norm_rms_epsilon")) {}

AttentionConfig::AttentionConfig(const Hparams& h, int32_t n_layers, int32_t head_dim_fallback) {
  n_heads = h.integer("attention.head_count", 1, 1024);
  n_kv_heads = n_heads;
  if (const auto by_layer = h.by_layer("attention.head_count_kv", n_layers, 0, n_heads)) {
    n_kv_heads = 0;
    for (const int32_t n : *by_layer) {
      if (n != 0 && n_kv_heads != 0 && n != n_kv_heads)
        h.fail("attention.head_count_kv", "is not the same for every layer that attends");
      if (n != 0) n_kv_heads = n;
    }
    if (n_kv_heads == 0) h.fail("attention.head_count_kv", "is 0, but must be at least 1");
  }
  if (n_heads % n_kv_heads != 0) h.fail("attention.head_count_kv", "does not divide the number of heads");
  head_dim = h.integer_or("attention.key_length", head_dim_fallback, 8, 1024);
  if (head_dim < 8 || head_dim > 1024 || head_dim % 8 != 0)
    h.fail("attention.key_length", fmt::format("is {}, but must be a multiple of 8 up to 1024", head_dim));
  if (h.integer_or("attention.value_length", head_dim, 1, 1024) != head_dim)
    h.fail("attention.value_length", "differs from the key length, which this architecture does not allow");
  scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
}

plan::RopeParams read_rope(const Hparams& h, plan::RopeKind kind, int32_t head_dim, int32_t n_rot_fallback,
                           float base_fallback) {
  plan::RopeParams rope;
  rope.kind = kind;
  rope.n_rot = h.integer_or("rope.dimension_count", n_rot_fallback, 2, head_dim);
  if (rope.n_rot % 2 != 0) h.fail("rope.dimension_count", "is odd");
  rope.freq_base = h.positive_or("rope.freq_base", base_fallback);
  // A factor without a type is the linear one, as files had it before there were types.
  const std::string scaling = h.text_or("rope.scaling.type", "linear");
  if (scaling == "linear")
    rope.freq_scale = 1.0f / h.positive_or("rope.scaling.factor",
                                           h.positive_or("rope.scale_linear", 1.0f));  // its first name
  else if (scaling == "yarn")
    read_yarn(h, rope);
  else if (scaling != "none")
    h.unsupported("rope.scaling.type",
                  fmt::format("is \"{}\", which does not run here; none, linear and yarn do", scaling));
  rope.magnitude *= h.positive_or("rope.scaling.attn_factor", 1.0f);
  return rope;
}

Attention::Attention(Tensors& t, const std::string& p, int32_t n_embd, const AttentionConfig& c,
                     Biases biases, HeadNorms norms) {
  const auto bias = [&](const char* name, int32_t n) {
    return biases == Biases::kQkv ? t.vector(p + name, n) : t.vector_if_present(p + name, n);
  };
  q_ = t.matrix(p + "attn_q.weight", n_embd, c.q_width());
  k_ = t.matrix(p + "attn_k.weight", n_embd, c.kv_width());
  v_ = t.matrix(p + "attn_v.weight", n_embd, c.kv_width());
  q_bias_ = bias("attn_q.bias", c.q_width());
  k_bias_ = bias("attn_k.bias", c.kv_width());
  v_bias_ = bias("attn_v.bias", c.kv_width());
  if (norms == HeadNorms::kQk) {
    q_norm_ = t.vector(p + "attn_q_norm.weight", c.head_dim);
    k_norm_ = t.vector(p + "attn_k_norm.weight", c.head_dim);
  }
  output_ = t.matrix(p + "attn_output.weight", c.q_width(), n_embd);
  output_bias_ = t.vector_if_present(p + "attn_output.bias", n_embd);
}

plan::ValueId Attention::forward(plan::Builder& b, plan::ValueId h, int32_t kv_layer,
                                 const AttentionConfig& c, float rms_eps, const Positions& positions) const {
  plan::ValueId q = b.matmul(h, q_, q_bias_);  // [rows, n_heads * head_dim]
  plan::ValueId k = b.matmul(h, k_, k_bias_);  // [rows, n_kv_heads * head_dim]
  plan::ValueId v = b.matmul(h, v_, v_bias_);
  if (q_norm_ != plan::kNoWeight) {
    q = b.rms_norm(q, q_norm_, rms_eps, c.head_dim);
    k = b.rms_norm(k, k_norm_, rms_eps, c.head_dim);
  }
  b.rope(q, c.n_heads, c.head_dim, positions.q);
  b.rope(k, c.n_kv_heads, c.head_dim, positions.k);
  plan::Attention a = {};
  a.layer = kv_layer;
  a.n_heads = c.n_heads, a.n_kv_heads = c.n_kv_heads, a.head_dim = c.head_dim;
  a.scale = c.scale;
  a.window = positions.window;
  return b.matmul(b.attention(q, k, v, a), output_, output_bias_);
}

FeedForward::FeedForward(Tensors& t, const std::string& p, int32_t n_embd, int32_t n_ff) {
  gate_ = t.matrix(p + "ffn_gate.weight", n_embd, n_ff);
  up_ = t.matrix(p + "ffn_up.weight", n_embd, n_ff);
  down_ = t.matrix(p + "ffn_down.weight", n_ff, n_embd);
}

plan::ValueId FeedForward::forward(plan::Builder& b, plan::ValueId h, plan::Activation act) const {
  return b.matmul(b.gated_ffn(h, gate_, up_, act), down_);
}

}  // namespace moraine::model
