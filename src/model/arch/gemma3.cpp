// Gemma 3, text (Gemma Team, arXiv 2503.19786). What differs from a llama: embeddings are scaled by
// sqrt(n_embd); each branch is normalised after as well as before it; q and k are normalised by head;
// five of six layers see a sliding window and rotate with their own base of 10,000; GELU instead of SiLU.
//
// The published RMSNorm multiplies by 1 + w; GGUF files already store 1 + w.
#include <cmath>
#include <string>

#include "model/arch/architectures.h"
#include "model/blocks.h"

namespace moraine::model {
namespace {

constexpr int32_t kSlidingPattern = 6;  // every sixth layer attends to everything

struct Config : DecoderConfig {
  int32_t n_ff, window;
  AttentionConfig attention;
  plan::RopeParams rope_global, rope_local;

  explicit Config(const Hparams& h)
      : DecoderConfig(h),
        n_ff(h.integer("feed_forward_length", 1, 1 << 22)),
        window(h.integer("attention.sliding_window", 1, 1 << 24)),
        attention(h, n_layers, 256),
        // 4B and larger scale global positions: linear, 8.
        rope_global(read_rope(h, plan::RopeKind::kNeox, attention.head_dim, attention.head_dim, 1e6f)) {
    rope_local.n_rot = attention.head_dim;
    rope_local.freq_base = h.positive_or("rope.local.freq_base", 10000.0f);
    // query_pre_attn_scalar: head_dim in every published size but 27B, where it is n_embd / n_heads.
    if (n_layers == 62) attention.scale = 1.0f / std::sqrt(static_cast<float>(n_embd / attention.n_heads));
  }

  bool sliding(int32_t layer) const { return (layer + 1) % kSlidingPattern != 0; }
};

class Gemma3 final : public Model {
 public:
  explicit Gemma3(const gguf::File& file) : hparams_(file), c_(hparams_) {
    n_layers_ = c_.n_layers, n_embd_ = c_.n_embd, n_vocab_ = c_.n_vocab, n_ctx_train_ = c_.n_ctx_train;
    kv_shape_.layers.assign(c_.n_layers, {c_.attention.n_kv_heads, c_.attention.head_dim});

    Tensors t(file, *this);
    token_embd_ = t.matrix("token_embd.weight", c_.n_embd, c_.n_vocab);
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      layers_.push_back({t.vector(p + "attn_norm.weight", c_.n_embd),
                         Attention(t, p, c_.n_embd, c_.attention, Attention::Biases::kWhereFound,
                                   Attention::HeadNorms::kQk),
                         t.vector(p + "post_attention_norm.weight", c_.n_embd),
                         t.vector(p + "ffn_norm.weight", c_.n_embd), FeedForward(t, p, c_.n_embd, c_.n_ff),
                         t.vector(p + "post_ffw_norm.weight", c_.n_embd)});
    }
    output_norm_ = t.vector("output_norm.weight", c_.n_embd);
    output_ = t.output(token_embd_, c_.n_embd, c_.n_vocab);
  }

  plan::Plan forward() const override {
    const Attention::Positions global = {.q = c_.rope_global, .k = c_.rope_global};
    const Attention::Positions local = {.q = c_.rope_local, .k = c_.rope_local, .window = c_.window};
    plan::Builder b(weights_);
    plan::ValueId x = b.embed(token_embd_, std::sqrt(static_cast<float>(c_.n_embd)));  // [rows, n_embd]
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const Layer& l = layers_[i];
      plan::ValueId h = b.rms_norm(x, l.attn_norm, c_.rms_eps);
      plan::ValueId a =
          l.attention.forward(b, h, i, c_.attention, c_.rms_eps, c_.sliding(i) ? local : global);
      b.add(x, b.rms_norm(a, l.post_attn_norm, c_.rms_eps));
      h = b.rms_norm(x, l.ffn_norm, c_.rms_eps);
      plan::ValueId f = l.feed_forward.forward(b, h, plan::Activation::kGeluTanh);
      b.add(x, b.rms_norm(f, l.post_ffn_norm, c_.rms_eps));
    }
    plan::ValueId y = b.rms_norm(b.gather_outputs(x), output_norm_, c_.rms_eps);
    return b.finish(b.matmul(y, output_));  // [outputs, n_vocab]
  }

 private:
  struct Layer {
    plan::WeightId attn_norm;
    Attention attention;
    plan::WeightId post_attn_norm, ffn_norm;
    FeedForward feed_forward;
    plan::WeightId post_ffn_norm;
  };

  Hparams hparams_;
  Config c_;
  plan::WeightId token_embd_, output_norm_, output_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Model> create_gemma3(const gguf::File& file) { return std::make_unique<Gemma3>(file); }

}  // namespace moraine::model
