// Qwen 3 mixture of experts (Qwen team, arXiv 2505.09388): Qwen3-30B-A3B, Qwen3-Coder-30B-A3B. A Qwen 3
// (norms on q and k by head, no biases) whose feed-forwards are mixtures of experts without a shared one.
#include <cmath>
#include <string>

#include "model/arch/architectures.h"
#include "model/experts.h"

namespace moraine::model {
namespace {

struct Config {
  int32_t n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_vocab;
  float rms_eps;
  plan::RopeParams rope;
  ExpertsConfig experts;

  explicit Config(const Hparams& h) : experts(h) {
    n_layers = h.integer("block_count", 1, 1024);
    n_embd = h.integer("embedding_length", 1, 1 << 20);
    n_heads = h.integer("attention.head_count", 1, 1024);
    n_kv_heads = h.integer("attention.head_count_kv", 1, n_heads);
    if (n_heads % n_kv_heads != 0) h.fail("attention.head_count_kv", "does not divide the number of heads");
    head_dim = h.integer_or("attention.key_length", 128, 8, 1024);
    if (head_dim % 8 != 0) h.fail("attention.key_length", "is not a multiple of 8");
    if (h.integer_or("attention.value_length", head_dim, 1, 1024) != head_dim)
      h.fail("attention.value_length", "differs from the key length, which this architecture does not allow");
    rms_eps = h.positive("attention.layer_norm_rms_epsilon");
    n_vocab = h.n_vocab();
    rope.kind = plan::RopeKind::kNeox;
    rope.n_rot = h.integer_or("rope.dimension_count", head_dim, 2, head_dim);
    if (rope.n_rot % 2 != 0) h.fail("rope.dimension_count", "is odd");
    rope.freq_base = h.positive_or("rope.freq_base", 1e6f);
  }
};

class Qwen3Moe final : public Model {
 public:
  explicit Qwen3Moe(const gguf::File& file) : hparams_(file), c_(hparams_) {
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
      l.ffn_norm = t.vector(p + "ffn_norm.weight", c_.n_embd);
      l.experts.emplace(t, p, c_.n_embd, c_.experts);
      layers_.push_back(std::move(l));
    }
    output_norm_ = t.vector("output_norm.weight", c_.n_embd);
    output_ =
        t.has("output.weight") ? t.matrix("output.weight", c_.n_embd, c_.n_vocab) : token_embd_;  // tied
  }

  plan::Plan forward() const override {
    plan::Builder b(weights_);
    plan::ValueId x = b.embed(token_embd_);  // [rows, n_embd]
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const Layer& l = layers_[i];
      b.add(x, attention(b, i, b.rms_norm(x, l.attn_norm, c_.rms_eps)));
      b.add(x, l.experts->forward(b, b.rms_norm(x, l.ffn_norm, c_.rms_eps), c_.experts));
    }
    plan::ValueId y = b.rms_norm(b.gather_outputs(x), output_norm_, c_.rms_eps);
    return b.finish(b.matmul(y, output_));  // [outputs, n_vocab]
  }

 private:
  struct Layer {
    plan::WeightId attn_norm, q, k, v, q_norm, k_norm, attn_output, ffn_norm;
    std::optional<Experts> experts;
  };

  plan::ValueId attention(plan::Builder& b, int32_t i, plan::ValueId h) const {
    const Layer& l = layers_[i];
    const int32_t hd = c_.head_dim;
    plan::ValueId q = b.rms_norm(b.matmul(h, l.q), l.q_norm, c_.rms_eps, hd);  // [rows, n_heads * hd]
    plan::ValueId k = b.rms_norm(b.matmul(h, l.k), l.k_norm, c_.rms_eps, hd);  // [rows, n_kv_heads * hd]
    plan::ValueId v = b.matmul(h, l.v);
    b.rope(q, c_.n_heads, hd, c_.rope);
    b.rope(k, c_.n_kv_heads, hd, c_.rope);
    plan::Attention a = {};
    a.layer = i;
    a.n_heads = c_.n_heads, a.n_kv_heads = c_.n_kv_heads, a.head_dim = hd;
    a.scale = 1.0f / std::sqrt(static_cast<float>(hd));
    return b.matmul(b.attention(q, k, v, a), l.attn_output);
  }

  Hparams hparams_;
  Config c_;
  plan::WeightId token_embd_, output_norm_, output_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Model> create_qwen3moe(const gguf::File& file) { return std::make_unique<Qwen3Moe>(file); }

}  // namespace moraine::model
