// Llama (Touvron et al., arXiv 2302.13971; 2407.21783) and what shares its shape: SmolLM2, Mistral, Devstral,
// TinyLlama. A pre-norm decoder: RMSNorm, grouped-query attention with rotary positions, SwiGLU.
//
// Files of architecture "mistral3" (Ministral 3, Devstral 2) are the same, and queries grow with the
// logarithm of how often their position exceeds the original context (arXiv 2501.19399, as in Llama 4).
//
// GGUF files store q and k with each head's rows permuted so that rotary pairs are adjacent
// (2i, 2i + 1), where the published code pairs i with i + head_dim/2: the products are the same.
#include <string>

#include "model/arch/architectures.h"
#include "model/blocks.h"

namespace moraine::model {
namespace {

struct Config : DecoderConfig {
  int32_t n_ff;
  AttentionConfig attention;
  plan::RopeParams rope;

  explicit Config(const Hparams& h)
      : DecoderConfig(h),
        n_ff(h.integer("feed_forward_length", 1, 1 << 22)),
        attention(h, n_layers, head_dim_fallback(h)),
        rope(read_rope(h, plan::RopeKind::kAdjacent, attention.head_dim, attention.head_dim, 10000.0f)) {}

  int32_t head_dim_fallback(const Hparams& h) const {
    const int32_t n_heads = h.integer("attention.head_count", 1, 1024);
    if (!h.has("attention.key_length") && n_embd % n_heads != 0)
      h.fail("attention.head_count", "does not divide embedding_length");
    return n_embd / n_heads;
  }
};

class Llama final : public Model {
 public:
  explicit Llama(const gguf::File& file) : hparams_(file), c_(hparams_) {
    n_layers_ = c_.n_layers, n_embd_ = c_.n_embd, n_vocab_ = c_.n_vocab, n_ctx_train_ = c_.n_ctx_train;
    kv_shape_.layers.assign(c_.n_layers, {c_.attention.n_kv_heads, c_.attention.head_dim});

    Tensors t(file, *this);
    token_embd_ = t.matrix("token_embd.weight", c_.n_embd, c_.n_vocab);
    // Llama 3.1 and later scale each frequency by its own factor.
    c_.rope.freq_factors = t.vector_if_present("rope_freqs.weight", c_.rope.n_rot / 2);
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      layers_.push_back({t.vector(p + "attn_norm.weight", c_.n_embd),
                         Attention(t, p, c_.n_embd, c_.attention, Attention::Biases::kWhereFound,
                                   Attention::HeadNorms::kNone),
                         t.vector(p + "ffn_norm.weight", c_.n_embd), FeedForward(t, p, c_.n_embd, c_.n_ff)});
    }
    output_norm_ = t.vector("output_norm.weight", c_.n_embd);
    output_ = t.output(token_embd_, c_.n_embd, c_.n_vocab);
  }

  plan::Plan forward() const override {
    const Attention::Positions positions = {.q = query_rope(), .k = c_.rope};
    plan::Builder b(weights_);
    plan::ValueId x = b.embed(token_embd_);  // [rows, n_embd]
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const Layer& l = layers_[i];
      plan::ValueId h = b.rms_norm(x, l.attn_norm, c_.rms_eps);
      b.add(x, l.attention.forward(b, h, i, c_.attention, c_.rms_eps, positions));
      h = b.rms_norm(x, l.ffn_norm, c_.rms_eps);
      b.add(x, l.feed_forward.forward(b, h, plan::Activation::kSilu));
    }
    plan::ValueId y = b.rms_norm(b.gather_outputs(x), output_norm_, c_.rms_eps);
    return b.finish(b.matmul(y, output_));  // [outputs, n_vocab]
  }

 private:
  struct Layer {
    plan::WeightId attn_norm;
    Attention attention;
    plan::WeightId ffn_norm;
    FeedForward feed_forward;
  };

  // mistral3: q *= 1 + scale * ln(1 + floor(position / original context)), which the rotation takes along.
  plan::RopeParams query_rope() const {
    plan::RopeParams rope = c_.rope;
    rope.temperature_scale = hparams_.number_or("attention.temperature_scale", 0.0f, 0.0f, 100.0f);
    if (rope.temperature_scale == 0) return rope;
    if (rope.n_rot != c_.attention.head_dim)
      hparams_.fail("attention.temperature_scale", "is set, but only a part of each head is rotated");
    rope.temperature_length =
        static_cast<float>(hparams_.integer("rope.scaling.original_context_length", 1, INT32_MAX));
    return rope;
  }

  Hparams hparams_;
  Config c_;
  plan::WeightId token_embd_, output_norm_, output_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Model> create_llama(const gguf::File& file) { return std::make_unique<Llama>(file); }

}  // namespace moraine::model
