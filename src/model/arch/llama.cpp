// Llama (Touvron et al., arXiv 2302.13971; 2407.21783) and what shares its shape: SmolLM2, Mistral,
// TinyLlama. A pre-norm decoder: RMSNorm, grouped-query attention with rotary positions, SwiGLU.
//
// GGUF files store q and k with each head's rows permuted so that rotary pairs are adjacent
// (2i, 2i + 1), where the published code pairs i with i + head_dim/2: the products are the same.
#include <cmath>
#include <string>

#include "model/arch/architectures.h"

namespace moraine::model {
namespace {

struct Config {
  int32_t n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab;
  float rms_eps;
  plan::RopeParams rope;

  explicit Config(const Hparams& h) {
    n_layers = h.integer("block_count", 1, 1024);
    n_embd = h.integer("embedding_length", 1, 1 << 20);
    n_ff = h.integer("feed_forward_length", 1, 1 << 22);
    n_heads = h.integer("attention.head_count", 1, 1024);
    n_kv_heads = h.integer_or("attention.head_count_kv", n_heads, 1, n_heads);
    if (n_heads % n_kv_heads != 0) h.fail("attention.head_count_kv", "does not divide the number of heads");
    if (!h.has("attention.key_length") && n_embd % n_heads != 0)
      h.fail("attention.head_count", "does not divide embedding_length");
    head_dim = h.integer_or("attention.key_length", n_embd / n_heads, 8, 1024);
    if (head_dim % 8 != 0 || head_dim > 1024)
      h.fail("attention.key_length", "is not a multiple of 8 up to 1024");
    if (h.integer_or("attention.value_length", head_dim, 1, 1024) != head_dim)
      h.fail("attention.value_length", "differs from the key length, which this architecture does not allow");
    rms_eps = h.positive("attention.layer_norm_rms_epsilon");
    n_vocab = h.n_vocab();
    rope.kind = plan::RopeKind::kAdjacent;
    rope.n_rot = h.integer_or("rope.dimension_count", head_dim, 2, head_dim);
    if (rope.n_rot % 2 != 0) h.fail("rope.dimension_count", "is odd");
    rope.freq_base = h.positive_or("rope.freq_base", 10000.0f);
    const std::string scaling = h.text_or("rope.scaling.type", "none");
    if (scaling == "linear")
      rope.freq_scale = 1.0f / h.positive("rope.scaling.factor");
    else if (scaling != "none")
      h.fail("rope.scaling.type", "is \"" + scaling + "\"; none and linear run here so far");
  }
};

class Llama final : public Model {
 public:
  explicit Llama(const gguf::File& file) : hparams_(file), c_(hparams_) {
    n_layers_ = c_.n_layers, n_embd_ = c_.n_embd, n_vocab_ = c_.n_vocab;
    n_ctx_train_ = hparams_.integer("context_length", 1, INT32_MAX);
    kv_shape_.layers.assign(c_.n_layers, {c_.n_kv_heads, c_.head_dim});

    Tensors t(file, *this);
    const int32_t q = c_.n_heads * c_.head_dim, kv = c_.n_kv_heads * c_.head_dim;
    token_embd_ = t.matrix("token_embd.weight", c_.n_embd, c_.n_vocab);
    // Llama 3.1 and later scale each frequency by its own factor.
    c_.rope.freq_factors = t.vector_if_present("rope_freqs.weight", c_.rope.n_rot / 2);
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      Layer l;
      l.attn_norm = t.vector(p + "attn_norm.weight", c_.n_embd);
      l.q = t.matrix(p + "attn_q.weight", c_.n_embd, q);
      l.k = t.matrix(p + "attn_k.weight", c_.n_embd, kv);
      l.v = t.matrix(p + "attn_v.weight", c_.n_embd, kv);
      l.q_bias = t.vector_if_present(p + "attn_q.bias", q);
      l.k_bias = t.vector_if_present(p + "attn_k.bias", kv);
      l.v_bias = t.vector_if_present(p + "attn_v.bias", kv);
      l.attn_output = t.matrix(p + "attn_output.weight", q, c_.n_embd);
      l.ffn_norm = t.vector(p + "ffn_norm.weight", c_.n_embd);
      l.gate = t.matrix(p + "ffn_gate.weight", c_.n_embd, c_.n_ff);
      l.up = t.matrix(p + "ffn_up.weight", c_.n_embd, c_.n_ff);
      l.down = t.matrix(p + "ffn_down.weight", c_.n_ff, c_.n_embd);
      layers_.push_back(l);
    }
    output_norm_ = t.vector("output_norm.weight", c_.n_embd);
    output_ =
        t.has("output.weight") ? t.matrix("output.weight", c_.n_embd, c_.n_vocab) : token_embd_;  // tied
  }

  plan::Plan forward() const override {
    plan::Builder b(weights_);
    plan::ValueId x = b.embed(token_embd_);  // [rows, n_embd]
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      b.add(x, attention(b, i, b.rms_norm(x, layers_[i].attn_norm, c_.rms_eps)));
      b.add(x, feed_forward(b, i, b.rms_norm(x, layers_[i].ffn_norm, c_.rms_eps)));
    }
    plan::ValueId y = b.rms_norm(b.gather_outputs(x), output_norm_, c_.rms_eps);
    return b.finish(b.matmul(y, output_));  // [outputs, n_vocab]
  }

 private:
  struct Layer {
    plan::WeightId attn_norm, q, k, v, q_bias, k_bias, v_bias, attn_output, ffn_norm, gate, up, down;
  };

  plan::ValueId attention(plan::Builder& b, int32_t i, plan::ValueId h) const {
    const Layer& l = layers_[i];
    plan::ValueId q = b.matmul(h, l.q, l.q_bias);  // [rows, n_heads * head_dim]
    plan::ValueId k = b.matmul(h, l.k, l.k_bias);  // [rows, n_kv_heads * head_dim]
    plan::ValueId v = b.matmul(h, l.v, l.v_bias);
    b.rope(q, c_.n_heads, c_.head_dim, c_.rope);
    b.rope(k, c_.n_kv_heads, c_.head_dim, c_.rope);
    plan::Attention a = {};
    a.layer = i;
    a.n_heads = c_.n_heads, a.n_kv_heads = c_.n_kv_heads, a.head_dim = c_.head_dim;
    a.scale = 1.0f / std::sqrt(static_cast<float>(c_.head_dim));
    return b.matmul(b.attention(q, k, v, a), l.attn_output);
  }

  plan::ValueId feed_forward(plan::Builder& b, int32_t i, plan::ValueId h) const {
    const Layer& l = layers_[i];
    return b.matmul(b.gated_ffn(h, l.gate, l.up, plan::Activation::kSilu), l.down);
  }

  Hparams hparams_;
  Config c_;
  plan::WeightId token_embd_, output_norm_, output_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Model> create_llama(const gguf::File& file) { return std::make_unique<Llama>(file); }

}  // namespace moraine::model
