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
#include <cmath>
#include <string>

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

struct Config {
  int32_t n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_vocab;
  int32_t n_ff = 0;                                      // dense models
  int32_t n_k_heads, n_v_heads, head_k, head_v, n_taps;  // DeltaNet
  std::vector<bool> recurrent;                           // by layer: DeltaNet, not attention
  float rms_eps;
  plan::RopeParams rope;

  Config(const Hparams& h, const Tensors& t, const Variant& variant) {
    n_layers = h.integer("block_count", 1, 1024);
    const int32_t n_nextn = h.integer_or("nextn_predict_layers", 0, 0, 16);
    if (n_layers > n_nextn && t.has("blk." + std::to_string(n_layers - n_nextn) + ".nextn.eh_proj.weight"))
      n_layers -= n_nextn;  // the file counts them among its blocks
    n_embd = h.integer("embedding_length", 1, 1 << 20);
    if (!variant.experts) n_ff = h.integer("feed_forward_length", 1, 1 << 22);
    rms_eps = h.positive("attention.layer_norm_rms_epsilon");
    n_vocab = h.n_vocab();

    n_heads = h.integer("attention.head_count", 1, 1024);
    head_dim = h.integer("attention.key_length", 8, 1024);
    if (head_dim % 8 != 0) h.fail("attention.key_length", "is not a multiple of 8");
    if (h.integer_or("attention.value_length", head_dim, 1, 1024) != head_dim)
      h.fail("attention.value_length", "differs from the key length, which this architecture does not allow");
    read_layer_kinds(h);
    // M-RoPE's sections (rope.dimension_sections) share out time, height and width: equal positions in text.
    rope = read_rope(h, plan::RopeKind::kNeox, head_dim, head_dim / 4, 1e7f);

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
  // Which layers attend: by an array of KV heads with 0 for those that do not, by flags, or every
  // interval-th.
  void read_layer_kinds(const Hparams& h) {
    const auto kv = h.by_layer("attention.head_count_kv", n_layers, 0, n_heads);
    if (!kv) h.fail("attention.head_count_kv", "is missing");
    const char* decides = "attention.head_count_kv";
    if (std::ranges::count(*kv, 0) > 0) {
      for (const int32_t n : *kv) recurrent.push_back(n == 0);
    } else if (const auto flags = h.by_layer("attention.recurrent_layers", n_layers, 0, 1)) {
      decides = "attention.recurrent_layers";
      for (const int32_t flag : *flags) recurrent.push_back(flag == 1);
    } else {
      decides = "full_attention_interval";
      const int32_t interval = h.integer_or("full_attention_interval", 4, 1, 1024);
      for (int32_t i = 0; i < n_layers; ++i) recurrent.push_back((i + 1) % interval != 0);
    }
    n_kv_heads = 0;
    for (int32_t i = 0; i < n_layers; ++i) {
      if (recurrent[i]) continue;
      const int32_t n = (*kv)[i];
      if (n == 0 || (n_kv_heads != 0 && n != n_kv_heads))
        h.fail("attention.head_count_kv", "is not the same for every layer that attends");
      n_kv_heads = n;
    }
    if (n_kv_heads == 0) h.fail(decides, "leaves no layer that attends");
    if (n_heads % n_kv_heads != 0) h.fail("attention.head_count_kv", "does not divide the number of heads");
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
    n_layers_ = c_.n_layers, n_embd_ = c_.n_embd, n_vocab_ = c_.n_vocab;
    n_ctx_train_ = hparams_.integer("context_length", 1, INT32_MAX);
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
      if (experts_config_) {
        l.experts.emplace(t, p, c_.n_embd, *experts_config_);
      } else {
        l.gate = t.matrix(p + "ffn_gate.weight", c_.n_embd, c_.n_ff);
        l.up = t.matrix(p + "ffn_up.weight", c_.n_embd, c_.n_ff);
        l.down = t.matrix(p + "ffn_down.weight", c_.n_ff, c_.n_embd);
      }
      layers_.push_back(std::move(l));
    }
    output_norm_ = t.vector("output_norm.weight", c_.n_embd);
    output_ =
        t.has("output.weight") ? t.matrix("output.weight", c_.n_embd, c_.n_vocab) : token_embd_;  // tied
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
    plan::WeightId gate, up, down;  // dense
  };

  AttentionLayer bind_attention(Tensors& t, const std::string& p) {
    AttentionLayer l;
    l.index = static_cast<int32_t>(kv_shape_.layers.size());
    kv_shape_.layers.push_back({c_.n_kv_heads, c_.head_dim});
    const int32_t hd = c_.head_dim, n = c_.n_heads, kv = c_.n_kv_heads * hd;
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
    const int32_t hd = c_.head_dim;
    plan::ValueId gate = b.matmul(h, l.gate);                                  // [rows, n_heads * hd]
    plan::ValueId q = b.rms_norm(b.matmul(h, l.q), l.q_norm, c_.rms_eps, hd);  // [rows, n_heads * hd]
    plan::ValueId k = b.rms_norm(b.matmul(h, l.k), l.k_norm, c_.rms_eps, hd);  // [rows, n_kv_heads * hd]
    plan::ValueId v = b.matmul(h, l.v);
    b.rope(q, c_.n_heads, hd, c_.rope);
    b.rope(k, c_.n_kv_heads, hd, c_.rope);
    plan::Attention a = {};
    a.layer = l.index;
    a.n_heads = c_.n_heads, a.n_kv_heads = c_.n_kv_heads, a.head_dim = hd;
    a.scale = 1.0f / std::sqrt(static_cast<float>(hd));
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
    plan::ValueId o = b.gated_delta_net(qkv, b.matmul(h, l.a), b.matmul(h, l.b), g);  // [rows, value_dim]
    plan::ValueId y = b.rms_norm(o, l.norm, c_.rms_eps, c_.head_v);
    b.gate(y, z, plan::GateKind::kSilu);
    return b.matmul(y, l.output);
  }

  plan::ValueId feed_forward(plan::Builder& b, const Layer& l, plan::ValueId h) const {
    if (l.experts) return l.experts->forward(b, h, *experts_config_);
    return b.matmul(b.gated_ffn(h, l.gate, l.up, plan::Activation::kSilu), l.down);
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
