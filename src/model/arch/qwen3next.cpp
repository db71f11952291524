// Qwen3-Next (Qwen team, 2025: Qwen3-Next-80B-A3B, Qwen3-Coder-Next) and Qwen 3.5's text models, which share
// its blocks. What differs from a llama: three of four layers are Gated DeltaNet (Yang et al., arXiv
// 2412.06464), linear attention with a state of fixed size; the fourth is attention whose output is gated,
// with norms on q and k by head and rotation of the first quarter of each head; feed-forwards are mixtures
// of experts with one shared expert (dense in small Qwen 3.5).
//
// What converters do: the published RMSNorm multiplies by 1 + w and files store 1 + w, except for the gated
// norm inside DeltaNet, which is plain in both; ssm_a is -exp(A_log). Files keep queries and their gates
// side by side by head in attn_q, beta and alpha side by side by key head in ssm_ba; early files have all of
// DeltaNet's projections in one ssm_in, by key head [q k v z]. They part at load. Qwen 3.5's files have
// ssm_alpha and ssm_beta apart, and tile value heads over key heads where Qwen3-Next's repeat them.
//
// A block that predicts further tokens (MTP), where a file has one, lies after the layers and is not used.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "model/arch/architectures.h"
#include "model/blocks.h"
#include "model/experts.h"

namespace moraine::model {
namespace {

// How a member of the family lays its tensors out.
struct Variant {
  bool experts;
  bool tiled;  // value head j reads key head j % n_k_heads
};

struct Config : DecoderConfig {
  int32_t n_ff = 0;                                      // dense models
  int32_t n_k_heads, n_v_heads, head_k, head_v, n_taps;  // DeltaNet
  std::vector<bool> recurrent;                           // by layer: DeltaNet, not attention
  AttentionConfig attention;                             // of the other layers
  plan::RopeParams rope;

  Config(const Hparams& h, const Tensors& t, const Variant& variant)
      : DecoderConfig(without_next_tokens(h, t)),
        recurrent(read_layer_kinds(h)),
        attention(h, n_layers, h.integer("attention.key_length", 8, 1024)),
        // M-RoPE's sections (rope.dimension_sections) share out time, height and width: equal positions in
        // text.
        rope(read_rope(h, plan::RopeKind::kNeox, attention.head_dim, attention.head_dim / 4, 1e7f)) {
    if (!variant.experts) n_ff = h.integer("feed_forward_length", 1, 1 << 22);
    n_taps = h.integer("ssm.conv_kernel", 2, 8);
    head_k = h.integer("ssm.state_size", 8, 1024);
    if (head_k % 8 != 0) h.fail("ssm.state_size", "is not a multiple of 8");
    n_k_heads = h.integer("ssm.group_count", 1, 1024);
    n_v_heads = h.integer("ssm.time_step_rank", 1, 1024);
    if (n_v_heads % n_k_heads != 0) h.fail("ssm.time_step_rank", "is no multiple of ssm.group_count");
    const int32_t inner = h.integer("ssm.inner_size", 1, 1 << 20);
    head_v = inner / n_v_heads;
    if (inner % n_v_heads != 0 || head_v % 16 != 0 || head_v > 1024)
      h.fail("ssm.inner_size", "does not give each value head a multiple of 16 values up to 1024");
  }

  int32_t key_dim() const { return n_k_heads * head_k; }
  int32_t value_dim() const { return n_v_heads * head_v; }

 private:
  // Files count blocks that predict further tokens among their layers.
  static DecoderConfig without_next_tokens(const Hparams& h, const Tensors& t) {
    DecoderConfig c(h);
    const int32_t n_nextn = h.integer_or("nextn_predict_layers", 0, 0, 16);
    if (c.n_layers > n_nextn &&
        t.has("blk." + std::to_string(c.n_layers - n_nextn) + ".nextn.eh_proj.weight"))
      c.n_layers -= n_nextn;
    return c;
  }

  // Which layers attend: by an array of KV heads with 0 for those that do not, by flags, or every
  // interval-th.
  std::vector<bool> read_layer_kinds(const Hparams& h) const {
    std::vector<bool> kinds;
    const auto kv = h.by_layer("attention.head_count_kv", n_layers, 0, 1024);
    if (!kv) h.fail("attention.head_count_kv", "is missing");
    const char* decides = "attention.head_count_kv";
    if (std::ranges::count(*kv, 0) > 0) {
      for (const int32_t n : *kv) kinds.push_back(n == 0);
    } else if (const auto flags = h.flags_by_layer("attention.recurrent_layers", n_layers)) {
      decides = "attention.recurrent_layers";
      kinds = *flags;
    } else {
      decides = "full_attention_interval";
      const int32_t interval = h.integer_or("full_attention_interval", 4, 1, 1024);
      for (int32_t i = 0; i < n_layers; ++i) kinds.push_back((i + 1) % interval != 0);
    }
    if (std::ranges::count(kinds, false) == 0) h.fail(decides, "leaves no layer that attends");
    return kinds;
  }
};

// n ranges of `count` rows each, from `first` on, `stride` apart.
std::vector<plan::RowRange> every(int32_t n, int32_t first, int32_t count, int32_t stride) {
  std::vector<plan::RowRange> ranges;
  for (int32_t i = 0; i < n; ++i) ranges.push_back({first + i * stride, count});
  return ranges;
}

class Qwen3Next final : public Model {
 public:
  Qwen3Next(const gguf::File& file, const Variant& variant)
      : hparams_(file), variant_(variant), c_(hparams_, Tensors(file, *this), variant) {
    n_layers_ = c_.n_layers, n_embd_ = c_.n_embd, n_vocab_ = c_.n_vocab, n_ctx_train_ = c_.n_ctx_train;
    if (variant.experts) experts_config_.emplace(hparams_);

    Tensors t(file, *this);
    token_embd_ = t.matrix("token_embd.weight", c_.n_embd, c_.n_vocab);
    for (int32_t i = 0; i < c_.n_layers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      Layer l;
      l.attn_norm = t.vector(p + "attn_norm.weight", c_.n_embd);
      if (c_.recurrent[i])
        l.delta_net = bind_delta_net(t, p);
      else
        l.attention = bind_attention(t, p);
      l.ffn_norm = t.vector(p + "post_attention_norm.weight", c_.n_embd);
      if (experts_config_)
        l.experts.emplace(t, p, c_.n_embd, *experts_config_);
      else
        l.dense.emplace(t, p, c_.n_embd, c_.n_ff);
      layers_.push_back(std::move(l));
    }
    output_norm_ = t.vector("output_norm.weight", c_.n_embd);
    output_ = t.output(token_embd_, c_.n_embd, c_.n_vocab);
    if (t.has("blk." + std::to_string(c_.n_layers) + ".nextn.eh_proj.weight"))
      notes_.push_back("The file has a block that predicts further tokens (MTP); it is not used yet.");
  }

  plan::Plan forward() const override {
    plan::Builder b(weights_);
    plan::ValueId x = b.embed(token_embd_);  // [rows, n_embd]
    for (const Layer& l : layers_) {
      plan::ValueId h = b.rms_norm(x, l.attn_norm, c_.rms_eps);
      b.add(x, l.delta_net ? delta_net(b, *l.delta_net, h) : attention(b, *l.attention, h));
      b.add(x, feed_forward(b, l, b.rms_norm(x, l.ffn_norm, c_.rms_eps)));
    }
    plan::ValueId y = b.rms_norm(b.gather_outputs(x), output_norm_, c_.rms_eps);
    return b.finish(b.matmul(y, output_));  // [outputs, n_vocab]
  }

 private:
  struct AttentionLayer {
    int32_t index;  // among the layers that attend
    plan::WeightId q, gate, k, v, q_norm, k_norm, output;
  };
  struct DeltaNetLayer {
    int32_t index;  // among the recurrent ones
    plan::WeightId qkv, z, a, b, conv, dt_bias, a_scale, norm, output;
  };
  struct Layer {
    plan::WeightId attn_norm, ffn_norm;
    std::optional<AttentionLayer> attention;
    std::optional<DeltaNetLayer> delta_net;
    std::optional<Experts> experts;
    std::optional<FeedForward> dense;
  };

  AttentionLayer bind_attention(Tensors& t, const std::string& p) {
    AttentionLayer l;
    l.index = static_cast<int32_t>(kv_shape_.layers.size());
    kv_shape_.layers.push_back({c_.attention.n_kv_heads, c_.attention.head_dim});
    const int32_t hd = c_.attention.head_dim, n = c_.attention.n_heads, kv = c_.attention.kv_width();
    // By head: its query's rows, then its gate's.
    l.q = t.rows_of(p + "attn_q.weight", c_.n_embd, 2 * n * hd, every(n, 0, hd, 2 * hd));
    l.gate = t.rows_of(p + "attn_q.weight", c_.n_embd, 2 * n * hd, every(n, hd, hd, 2 * hd));
    l.k = t.matrix(p + "attn_k.weight", c_.n_embd, kv);
    l.v = t.matrix(p + "attn_v.weight", c_.n_embd, kv);
    l.q_norm = t.vector(p + "attn_q_norm.weight", hd);
    l.k_norm = t.vector(p + "attn_k_norm.weight", hd);
    l.output = t.matrix(p + "attn_output.weight", n * hd, c_.n_embd);
    return l;
  }

  DeltaNetLayer bind_delta_net(Tensors& t, const std::string& p) {
    DeltaNetLayer l;
    l.index = static_cast<int32_t>(state_shape_.layers.size());
    const int32_t n_k = c_.n_k_heads, group = c_.n_v_heads / n_k,
                  channels = 2 * c_.key_dim() + c_.value_dim();
    state_shape_.layers.push_back({c_.n_v_heads, c_.head_v, c_.head_k, channels, c_.n_taps - 1});
    if (t.has(p + "ssm_in.weight")) {
      const int32_t k = c_.head_k, v = group * c_.head_v, stride = 2 * k + 2 * v;  // by key head: q k v z
      std::vector<plan::RowRange> qkv;
      for (const auto& part :
           {every(n_k, 0, k, stride), every(n_k, k, k, stride), every(n_k, 2 * k, v, stride)})
        qkv.insert(qkv.end(), part.begin(), part.end());
      l.qkv = t.rows_of(p + "ssm_in.weight", c_.n_embd, n_k * stride, std::move(qkv));
      l.z = t.rows_of(p + "ssm_in.weight", c_.n_embd, n_k * stride, every(n_k, 2 * k + v, v, stride));
    } else {
      l.qkv = t.matrix(p + "attn_qkv.weight", c_.n_embd, channels);
      l.z = t.matrix(p + "attn_gate.weight", c_.n_embd, c_.value_dim());
    }
    if (t.has(p + "ssm_ba.weight")) {  // by key head: beta of its value heads, then alpha
      l.b = t.rows_of(p + "ssm_ba.weight", c_.n_embd, 2 * c_.n_v_heads, every(n_k, 0, group, 2 * group));
      l.a = t.rows_of(p + "ssm_ba.weight", c_.n_embd, 2 * c_.n_v_heads, every(n_k, group, group, 2 * group));
    } else {
      l.a = t.matrix(p + "ssm_alpha.weight", c_.n_embd, c_.n_v_heads);
      l.b = t.matrix(p + "ssm_beta.weight", c_.n_embd, c_.n_v_heads);
    }
    l.conv = t.vectors(p + "ssm_conv1d.weight", c_.n_taps, channels);
    l.dt_bias = t.vector(p + "ssm_dt.bias", c_.n_v_heads);
    l.a_scale = t.vector(p + "ssm_a", c_.n_v_heads);
    l.norm = t.vector(p + "ssm_norm.weight", c_.head_v);
    l.output = t.matrix(p + "ssm_out.weight", c_.value_dim(), c_.n_embd);
    return l;
  }

  plan::ValueId attention(plan::Builder& b, const AttentionLayer& l, plan::ValueId h) const {
    const AttentionConfig& c = c_.attention;
    const int32_t hd = c.head_dim;
    const plan::ValueId gate = b.matmul(h, l.gate);  // [rows, n_heads * hd]
    plan::ValueId q = b.matmul(h, l.q);              // [rows, n_heads * hd]
    plan::ValueId k = b.matmul(h, l.k);              // [rows, n_kv_heads * hd]
    const plan::ValueId v = b.matmul(h, l.v);
    q = b.rms_norm(q, l.q_norm, c_.rms_eps, hd);
    k = b.rms_norm(k, l.k_norm, c_.rms_eps, hd);
    b.rope(q, c.n_heads, hd, c_.rope);
    b.rope(k, c.n_kv_heads, hd, c_.rope);
    plan::Attention a = {};
    a.layer = l.index;
    a.n_heads = c.n_heads, a.n_kv_heads = c.n_kv_heads, a.head_dim = hd;
    a.scale = c.scale;
    plan::ValueId o = b.attention(q, k, v, a);
    b.gate(o, gate, plan::GateKind::kSigmoid);
    return b.matmul(o, l.output);
  }

  plan::ValueId delta_net(plan::Builder& b, const DeltaNetLayer& l, plan::ValueId h) const {
    plan::ValueId qkv = b.matmul(h, l.qkv);  // [rows, 2 * key_dim + value_dim]
    plan::ValueId z = b.matmul(h, l.z);      // [rows, value_dim]
    plan::GatedDeltaNet g = {};
    g.conv = l.conv, g.a_scale = l.a_scale, g.dt_bias = l.dt_bias;
    g.layer = l.index;
    g.n_k_heads = c_.n_k_heads, g.n_v_heads = c_.n_v_heads;
    g.head_k = c_.head_k, g.head_v = c_.head_v;
    g.n_taps = c_.n_taps;
    g.tiled = variant_.tiled;
    g.eps = 1e-6f;
    const plan::ValueId decay = b.matmul(h, l.a), beta = b.matmul(h, l.b);  // [rows, n_v_heads]
    plan::ValueId o = b.gated_delta_net(qkv, decay, beta, g);               // [rows, value_dim]
    plan::ValueId y = b.rms_norm(o, l.norm, c_.rms_eps, c_.head_v);
    b.gate(y, z, plan::GateKind::kSilu);
    return b.matmul(y, l.output);
  }

  plan::ValueId feed_forward(plan::Builder& b, const Layer& l, plan::ValueId h) const {
    if (l.experts) return l.experts->forward(b, h, *experts_config_);
    return l.dense->forward(b, h, plan::Activation::kSilu);
  }

  Hparams hparams_;
  Variant variant_;
  Config c_;
  std::optional<ExpertsConfig> experts_config_;
  plan::WeightId token_embd_, output_norm_, output_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Model> create_qwen3next(const gguf::File& file) {
  return std::make_unique<Qwen3Next>(file, Variant{.experts = true, .tiled = false});
}
std::unique_ptr<Model> create_qwen35(const gguf::File& file) {
  return std::make_unique<Qwen3Next>(file, Variant{.experts = false, .tiled = true});
}
std::unique_ptr<Model> create_qwen35moe(const gguf::File& file) {
  return std::make_unique<Qwen3Next>(file, Variant{.experts = true, .tiled = true});
}

}  // namespace moraine::model
