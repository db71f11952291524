// Qwen 3, dense (Qwen team, arXiv 2505.09388). What differs from a llama: RMSNorm of q and k by head before
// they are rotated, heads that together may be wider than the model, and rotary pairs i, i + head_dim/2,
// which files keep as published.
#include <string>

#include "model/arch/architectures.h"
#include "model/blocks.h"

namespace moraine::model {
namespace {

constexpr int32_t kHeadDim = 128;  // of every published size, where a file does not say

struct Config : DecoderConfig {
  int32_t n_ff;
  AttentionConfig attention;
  plan::RopeParams rope;

  explicit Config(const Hparams& h)
      : DecoderConfig(h),
        n_ff(h.integer("feed_forward_length", 1, 1 << 22)),
        attention(h, n_layers, kHeadDim),
        rope(read_rope(h, plan::RopeKind::kNeox, attention.head_dim, attention.head_dim, 1e6f)) {}
};

class Qwen3 final : public Model {
 public:
  explicit Qwen3(const gguf::File& file) : hparams_(file), c_(hparams_) {
    n_layers_ = c_.n_layers, n_embd_ = c_.n_embd, n_vocab_ = c_.n_vocab, n_ctx_train_ = c_.n_ctx_train;
    kv_shape_.layers.assign(c_.n_layers, {c_.attention.n_kv_heads, c_.attention.head_dim});

    Tensors t(file, *this);
    token_embd_ = t.matrix("token_embd.weight", c_.n_embd, c_.n_vocab);
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      layers_.push_back({t.vector(p + "attn_norm.weight", c_.n_embd),
                         Attention(t, p, c_.n_embd, c_.attention, Attention::Biases::kWhereFound,
                                   Attention::HeadNorms::kQk),
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

std::unique_ptr<Model> create_qwen3(const gguf::File& file) { return std::make_unique<Qwen3>(file); }

}  // namespace moraine::model
