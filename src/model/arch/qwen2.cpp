// Qwen 2 and 2.5 (Qwen team, arXiv 2407.10671, 2412.15115), Qwen2.5-Coder. What differs from a llama: biases
// on the projections of q, k and v, and rotary pairs i, i + head_dim/2, which files keep as published.
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
        attention(h, n_layers, n_embd / h.integer("attention.head_count", 1, 1024)),
        rope(read_rope(h, plan::RopeKind::kNeox, attention.head_dim, attention.head_dim, 10000.0f)) {}
};

class Qwen2 final : public Model {
 public:
  explicit Qwen2(const gguf::File& file) : hparams_(file), c_(hparams_) {
    n_layers_ = c_.n_layers, n_embd_ = c_.n_embd, n_vocab_ = c_.n_vocab, n_ctx_train_ = c_.n_ctx_train;
    kv_shape_.layers.assign(c_.n_layers, {c_.attention.n_kv_heads, c_.attention.head_dim});

    Tensors t(file, *this);
    token_embd_ = t.matrix("token_embd.weight", c_.n_embd, c_.n_vocab);
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      layers_.push_back(
          {t.vector(p + "attn_norm.weight", c_.n_embd),
           Attention(t, p, c_.n_embd, c_.attention, Attention::Biases::kQkv, Attention::HeadNorms::kNone),
           t.vector(p + "ffn_norm.weight", c_.n_embd), FeedForward(t, p, c_.n_embd, c_.n_ff)});
    }
    output_norm_ = t.vector("output_norm.weight", c_.n_embd);
    output_ = t.output(token_embd_, c_.n_embd, c_.n_vocab);
  }

  plan::Plan forward() const override {
    const Attention::Positions positions = {.q = c_.rope, .k = c_.rope};
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

  Hparams hparams_;
  Config c_;
  plan::WeightId token_embd_, output_norm_, output_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Model> create_qwen2(const gguf::File& file) { return std::make_unique<Qwen2>(file); }

}  // namespace moraine::model
