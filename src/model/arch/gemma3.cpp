// Gemma 3, text (Gemma Team, arXiv 2503.19786). What differs from a llama: embeddings are scaled by
// sqrt(n_embd); each branch is normalised after as well as before it; q and k are normalised by head;
// five of six layers see a sliding window and rotate with their own base of 10,000; GELU instead of SiLU.
//
// The published RMSNorm multiplies by 1 + w; GGUF files already store 1 + w.
#include <cmath>
#include <string>

#include "model/arch/architectures.h"

namespace moraine::model {
namespace {

constexpr int32_t kSlidingPattern = 6;  // every sixth layer attends to everything

struct Config {
  int32_t n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab, window;
  float rms_eps, query_scale;
  plan::RopeParams rope_global, rope_local;

  explicit Config(const Hparams& h) {
    n_layers = h.integer("block_count", 1, 1024);
    n_embd = h.integer("embedding_length", 1, 1 << 20);
    n_ff = h.integer("feed_forward_length", 1, 1 << 22);
    n_heads = h.integer("attention.head_count", 1, 1024);
    n_kv_heads = h.integer("attention.head_count_kv", 1, n_heads);
    if (n_heads % n_kv_heads != 0) h.fail("attention.head_count_kv", "does not divide the number of heads");
    head_dim = h.integer_or("attention.key_length", 256, 8, 1024);
    if (head_dim % 8 != 0) h.fail("attention.key_length", "is not a multiple of 8");
    if (h.integer_or("attention.value_length", head_dim, 1, 1024) != head_dim)
      h.fail("attention.value_length", "differs from the key length, which this architecture does not allow");
    window = h.integer("attention.sliding_window", 1, 1 << 24);
    rms_eps = h.positive("attention.layer_norm_rms_epsilon");
    n_vocab = h.n_vocab();
    // query_pre_attn_scalar: head_dim in every published size but 27B, where it is n_embd / n_heads.
    query_scale = 1.0f / std::sqrt(static_cast<float>(n_layers == 62 ? n_embd / n_heads : head_dim));
    rope_global.kind = rope_local.kind = plan::RopeKind::kNeox;
    rope_global.n_rot = rope_local.n_rot = head_dim;
    rope_global.freq_base = h.positive_or("rope.freq_base", 1e6f);
    rope_local.freq_base = h.positive_or("rope.local.freq_base", 10000.0f);
    const std::string scaling = h.text_or("rope.scaling.type", "none");  // 4B and larger: linear, 8
    if (scaling == "linear")
      rope_global.freq_scale = 1.0f / h.positive("rope.scaling.factor");
    else if (scaling != "none")
      h.fail("rope.scaling.type", "is \"" + scaling + "\"; none and linear run here so far");
  }

  bool sliding(int32_t layer) const { return (layer + 1) % kSlidingPattern != 0; }
};

class Gemma3 final : public Model {
 public:
  explicit Gemma3(const gguf::File& file) : hparams_(file), c_(hparams_) {
    n_layers_ = c_.n_layers, n_embd_ = c_.n_embd, n_vocab_ = c_.n_vocab;
    n_ctx_train_ = hparams_.integer("context_length", 1, INT32_MAX);
    kv_shape_.layers.assign(c_.n_layers, {c_.n_kv_heads, c_.head_dim});

    Tensors t(file, *this);
    const int32_t q = c_.n_heads * c_.head_dim, kv = c_.n_kv_heads * c_.head_dim;
    token_embd_ = t.matrix("token_embd.weight", c_.n_embd, c_.n_vocab);
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      Layer l;
      l.attn_norm = t.vector(p + "attn_norm.weight", c_.n_embd);
      l.q = t.matrix(p + "attn_q.weight", c_.n_embd, q);
      l.k = t.matrix(p + "attn_k.weight", c_.n_embd, kv);
      l.v = t.matrix(p + "attn_v.weight", c_.n_embd, kv);
      l.q_norm = t.vector(p + "attn_q_norm.weight", c_.head_dim);
      l.k_norm = t.vector(p + "attn_k_norm.weight", c_.head_dim);
      l.attn_output = t.matrix(p + "attn_output.weight", q, c_.n_embd);
      l.post_attn_norm = t.vector(p + "post_attention_norm.weight", c_.n_embd);
      l.ffn_norm = t.vector(p + "ffn_norm.weight", c_.n_embd);
      l.gate = t.matrix(p + "ffn_gate.weight", c_.n_embd, c_.n_ff);
      l.up = t.matrix(p + "ffn_up.weight", c_.n_embd, c_.n_ff);
      l.down = t.matrix(p + "ffn_down.weight", c_.n_ff, c_.n_embd);
      l.post_ffn_norm = t.vector(p + "post_ffw_norm.weight", c_.n_embd);
      layers_.push_back(l);
    }
    output_norm_ = t.vector("output_norm.weight", c_.n_embd);
    output_ =
        t.has("output.weight") ? t.matrix("output.weight", c_.n_embd, c_.n_vocab) : token_embd_;  // tied
  }

  plan::Plan forward() const override {
    plan::Builder b(weights_);
    plan::ValueId x = b.embed(token_embd_, std::sqrt(static_cast<float>(c_.n_embd)));  // [rows, n_embd]
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const Layer& l = layers_[i];
      plan::ValueId a = attention(b, i, b.rms_norm(x, l.attn_norm, c_.rms_eps));
      b.add(x, b.rms_norm(a, l.post_attn_norm, c_.rms_eps));
      plan::ValueId f = feed_forward(b, i, b.rms_norm(x, l.ffn_norm, c_.rms_eps));
      b.add(x, b.rms_norm(f, l.post_ffn_norm, c_.rms_eps));
    }
    plan::ValueId y = b.rms_norm(b.gather_outputs(x), output_norm_, c_.rms_eps);
    return b.finish(b.matmul(y, output_));  // [outputs, n_vocab]
  }

 private:
  struct Layer {
    plan::WeightId attn_norm, q, k, v, q_norm, k_norm, attn_output, post_attn_norm;
    plan::WeightId ffn_norm, gate, up, down, post_ffn_norm;
  };

  plan::ValueId attention(plan::Builder& b, int32_t i, plan::ValueId h) const {
    const Layer& l = layers_[i];
    const plan::RopeParams& rope = c_.sliding(i) ? c_.rope_local : c_.rope_global;
    plan::ValueId q =
        b.rms_norm(b.matmul(h, l.q), l.q_norm, c_.rms_eps, c_.head_dim);  // [rows, n_heads * head_dim]
    plan::ValueId k =
        b.rms_norm(b.matmul(h, l.k), l.k_norm, c_.rms_eps, c_.head_dim);  // [rows, n_kv_heads * head_dim]
    plan::ValueId v = b.matmul(h, l.v);
    b.rope(q, c_.n_heads, c_.head_dim, rope);
    b.rope(k, c_.n_kv_heads, c_.head_dim, rope);
    plan::Attention a = {};
    a.layer = i;
    a.n_heads = c_.n_heads, a.n_kv_heads = c_.n_kv_heads, a.head_dim = c_.head_dim;
    a.scale = c_.query_scale;
    a.window = c_.sliding(i) ? c_.window : 0;
    return b.matmul(b.attention(q, k, v, a), l.attn_output);
  }

  plan::ValueId feed_forward(plan::Builder& b, int32_t i, plan::ValueId h) const {
    const Layer& l = layers_[i];
    return b.matmul(b.gated_ffn(h, l.gate, l.up, plan::Activation::kGeluTanh), l.down);
  }

  Hparams hparams_;
  Config c_;
  plan::WeightId token_embd_, output_norm_, output_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Model> create_gemma3(const gguf::File& file) { return std::make_unique<Gemma3>(file); }

}  // namespace moraine::model
