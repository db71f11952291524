// Every op of the vocabulary on Vulkan, alone, against the CPU backend's scalar kernels, at odd sizes and
// several numbers of rows; with workgroups of 8, 32 and 64 lanes, whose results must be the same to the bit.
// Whole models: tests/model/backends_test.cpp; devices and memory: vulkan_test.cpp.
#include <gmock/gmock.h>
#include <moraine/error.h>

#include <cmath>
#include <cstring>

#include "backend/cpu/backend.h"
#include "backend/vulkan/backend.h"
#include "backend/vulkan/ops_testing.h"
#include "backend/vulkan/testing.h"

namespace moraine::vulkan {
namespace {

using plan::Builder;
using plan::ValueId;
using plan::WeightId;
using testing::Case;

constexpr DType kFormats[] = {DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ4_0,
                              DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,   DType::kQ8_0,
                              DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K,
                              DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};

class Ops : public DeviceTest {
 protected:
  std::vector<float> on_vulkan(const Case& c, uint32_t lanes) {
    options_.lanes = lanes;
    VulkanBackend gpu(options_);
    return c.run(gpu);
  }
  // Against the scalar kernels, with 8 lanes and with lanes_.
  void compare(const Case& c, double bound = 1e-10) {
    cpu::CpuBackend cpu({1, "scalar"});
    const std::vector<float> expected = c.run(cpu), got = on_vulkan(c, 8);
    ASSERT_EQ(got.size(), expected.size());
    const double error = testing::nmse(got, expected);
    worst_ = std::max(worst_, error);
    for (size_t i = 0; i < got.size(); ++i) n_equal_ += std::memcmp(&got[i], &expected[i], 4) == 0;
    n_values_ += got.size();
    EXPECT_LT(error, bound);  // a NaN fails too
    for (const uint32_t lanes : lanes_)
      EXPECT_TRUE(testing::same_bits(got, on_vulkan(c, lanes))) << lanes << " lanes";
  }
  void TearDown() override {
    if (n_values_ > 0)
      std::printf("[ measured ] NMSE at most %.1e; %.1f%% of the values have the CPU's bits\n", worst_,
                  100.0 * n_equal_ / n_values_);
  }
  // 32 differ from 64 in no line of a shader, and compiling a shader is what these tests spend their time
  // with: they are tried where a plan has every op.
  std::vector<uint32_t> lanes_ = {64};
  double worst_ = 0;
  size_t n_equal_ = 0, n_values_ = 0;
};

TEST_F(Ops, Embed) {
  for (const DType type : kFormats) {
    SCOPED_TRACE(info(type).name);
    Case c;
    const WeightId table = c.matrix(512, testing::kVocab, 1.0f, type);
    c.build = [=](Builder& b) { return b.finish(b.embed(table, 1.75f)); };
    compare(c, 1e-30);  // every value has one way to be unpacked
  }
  Case c;
  const WeightId table = c.inputs(65);
  c.build = [=](Builder& b) { return b.finish(b.embed(table)); };
  compare(c, 1e-30);
}

TEST_F(Ops, RmsNorm) {
  for (auto [width, group] : {std::pair{100, 0}, {1000, 0}, {96, 32}, {30, 10}}) {
    Case c;
    const WeightId in = c.inputs(width, 3.0f), w = c.vector(group ? group : width);
    c.build = [=, group = group](Builder& b) { return b.finish(b.rms_norm(b.embed(in), w, 1e-5f, group)); };
    compare(c);
  }
}

TEST_F(Ops, Matmul) {
  for (const DType type : kFormats) {
    SCOPED_TRACE(info(type).name);
    Case c;
    const WeightId in = c.inputs(768), w = c.matrix(768, 27, 0.1f, type), bias = c.vector(27);
    // The recording for many rows has shaders of its own, which take software Vulkan a second to compile.
    if (type != DType::kF16 && type != DType::kQ4_K && type != DType::kQ8_0) c.steps = {{1}, {2}, {7}};
    c.build = [=](Builder& b) { return b.finish(b.matmul(b.embed(in), w, bias)); };
    compare(c);
  }
}

TEST_F(Ops, MatmulOfOddSizes) {
  for (auto [k, n] : {std::pair{100, 33}, {1, 5}, {333, 129}}) {
    Case c;
    const WeightId in = c.inputs(k), w = c.matrix(k, n);
    c.build = [=](Builder& b) { return b.finish(b.matmul(b.embed(in), w)); };
    compare(c);
  }
}

// More groups of weight rows than one dispatch may have workgroups.
TEST_F(Ops, MatmulOfAHugeVocabulary) {
  Case c;
  const WeightId in = c.inputs(2), w = c.matrix(2, 8 * 65535 + 9);
  c.steps = {{2}};
  c.build = [=](Builder& b) { return b.finish(b.matmul(b.embed(in), w)); };
  cpu::CpuBackend cpu({1, "scalar"});
  EXPECT_LT(testing::nmse(on_vulkan(c, 8), c.run(cpu)), 1e-10);
}

TEST_F(Ops, GatedFfn) {
  struct Formats {
    DType gate, up;
    plan::Activation act;
  };
  for (const Formats& f : {Formats{DType::kF32, DType::kF32, plan::Activation::kGeluTanh},
                           Formats{DType::kQ4_K, DType::kQ4_K, plan::Activation::kSilu},
                           Formats{DType::kQ6_K, DType::kQ8_0, plan::Activation::kSilu},
                           Formats{DType::kQ8_0, DType::kF16, plan::Activation::kGeluTanh}}) {
    Case c;
    const WeightId in = c.inputs(256), gate = c.matrix(256, 43, 0.1f, f.gate),
                   up = c.matrix(256, 43, 0.1f, f.up);
    if (f.gate != f.up) c.steps = {{1}, {2}, {7}};
    c.build = [=](Builder& b) { return b.finish(b.gated_ffn(b.embed(in), gate, up, f.act)); };
    compare(c);
  }
}

TEST_F(Ops, Rope) {
  for (auto kind : {plan::RopeKind::kNeox, plan::RopeKind::kAdjacent})
    for (auto [heads, head_dim, n_rot] : {std::tuple{3, 64, 64}, {1, 10, 6}, {5, 40, 20}}) {
      Case c;
      const WeightId in = c.inputs(heads * head_dim), factors = c.vector(n_rot / 2);
      c.build = [=, heads = heads, head_dim = head_dim, n_rot = n_rot](Builder& b) {
        const ValueId x = b.embed(in);
        b.rope(x, heads, head_dim, {kind, n_rot, 10000.0f, 0.5f, factors});
        b.rope(x, heads, head_dim, {kind, n_rot, 500000.0f});
        return b.finish(x);
      };
      compare(c);
    }
}

TEST_F(Ops, AddAndGather) {
  Case c;
  const WeightId x = c.inputs(301), y = c.inputs(301);
  c.build = [=](Builder& b) {
    const ValueId sum = b.embed(x);
    b.add(sum, b.embed(y));
    return b.finish(b.gather_outputs(sum));
  };
  compare(c, 1e-30);
}

TEST_F(Ops, Gate) {
  for (const plan::GateKind kind : {plan::GateKind::kSigmoid, plan::GateKind::kSilu})
    for (const int32_t width : {301, 1}) {
      Case c;
      const WeightId x = c.inputs(301), y = c.inputs(width, 4.0f);
      c.build = [=](Builder& b) {
        const ValueId value = b.embed(x);
        b.gate(value, b.embed(y), kind);
        return b.finish(value);
      };
      compare(c);
    }
}

// What is quantised for one product serves the next, until the value changes.
TEST_F(Ops, ProductsOfAChangingValue) {
  Case c;
  const WeightId in = c.inputs(256), w1 = c.matrix(256, 16, 0.1f, DType::kQ4_K),
                 w2 = c.matrix(256, 16, 0.1f, DType::kQ6_K), w3 = c.matrix(256, 16, 0.1f, DType::kQ8_0);
  c.build = [=](Builder& b) {
    const ValueId x = b.embed(in);
    const ValueId y = b.matmul(x, w1);
    b.add(y, b.matmul(x, w2));
    b.add(y, b.matmul(x, w3));
    b.add(x, x);
    b.add(y, b.matmul(x, w1));
    return b.finish(y);
  };
  c.steps = {{1}, {7}};
  compare(c);
}

struct Heads {
  int32_t n_heads, n_kv_heads, head_dim, window;
};

Case attention_case(const Heads& h, KvType kv_k, KvType kv_v) {
  Case c;
  const WeightId q = c.inputs(h.n_heads * h.head_dim), k = c.inputs(h.n_kv_heads * h.head_dim),
                 v = c.inputs(h.n_kv_heads * h.head_dim);
  c.kv.layers = {{h.n_kv_heads, 32}, {h.n_kv_heads, h.head_dim}};
  c.kv_k = kv_k, c.kv_v = kv_v;
  c.build = [=](Builder& b) {
    plan::Attention a = {};
    a.layer = 1;
    a.n_heads = h.n_heads, a.n_kv_heads = h.n_kv_heads, a.head_dim = h.head_dim;
    a.scale = 0.4f;
    a.window = h.window;
    return b.finish(b.attention(b.embed(q), b.embed(k), b.embed(v), a));
  };
  return c;
}

// 270 positions cross a page; few rows and many; with two sequences their rows lie side by side.
TEST_F(Ops, Attention) {
  using enum KvType;
  for (const auto& [h, k, v] : {std::tuple{Heads{4, 2, 64, 0}, kF16, kF16},
                                {Heads{3, 1, 40, 37}, kF32, kF16},
                                {Heads{2, 2, 32, 200}, kQ8_0, kQ8_0},
                                {Heads{2, 1, 96, 0}, kF16, kQ8_0},
                                {Heads{3, 1, 64, 0}, kQ4_0, kQ4_0},
                                {Heads{2, 2, 32, 37}, kQ8_0, kQ4_0}})
    for (const int32_t n_sequences : {1, 2}) {
      SCOPED_TRACE(::testing::Message() << "head_dim " << h.head_dim << ", sequences " << n_sequences);
      Case c = attention_case(h, k, v);
      c.n_sequences = n_sequences;
      c.steps = {{1}, {2}, {7}, {120}, {130}, {4}, {8}};
      if (n_sequences == 2) c.steps = {{2}, {33}, {8}};
      compare(c);
    }
}

// More than a partition of 512 keys: few rows split them over workgroups, many do not, to the same bits.
TEST_F(Ops, AttentionOverPartitions) {
  for (const int32_t window : {0, 530}) {
    Case c = attention_case({1, 1, 32, window}, KvType::kF16, KvType::kF16);
    c.max_context = 1200;
    c.steps = {{500}, {500}, {50}, {3}, {9}, {3}};
    compare(c);
    Case other = c;
    other.steps = {{500}, {500}, {53}, {12}};
    const std::vector<float> a = on_vulkan(c, 8), b = on_vulkan(other, 8);
    EXPECT_TRUE(testing::same_bits(a, b));
  }
}

Case moe_case(int32_t n_embd, int32_t n_ff, int32_t n_experts, int32_t top_k, DType gate, DType up,
              DType down, bool normalise, plan::Activation act = plan::Activation::kSilu) {
  Case c;
  const WeightId in = c.inputs(n_embd), router = c.inputs(n_experts, 2.0f);
  plan::Moe op = {};
  const float size = 0.1f;
  if (gate != up) c.steps = {{1}, {2}, {7}};  // as in Matmul
  op.gate = c.matrix(n_embd, n_experts * n_ff, size, gate);
  op.up = c.matrix(n_embd, n_experts * n_ff, size, up);
  op.down = c.matrix(n_ff, n_experts * n_embd, size, down);
  op.n_experts = n_experts, op.top_k = top_k, op.n_ff = n_ff, op.normalise = normalise, op.act = act;
  c.build = [=](Builder& b) { return b.finish(b.moe(b.embed(in), b.embed(router), op)); };
  return c;
}

TEST_F(Ops, Moe) {
  using enum DType;
  compare(moe_case(40, 24, 5, 3, kF32, kF32, kF32, true));
  compare(moe_case(64, 32, 6, 6, kF32, kF32, kF32, false, plan::Activation::kGeluTanh));
  // Between two products values are rounded to eight bits: the last bit of one may tip a rounding.
  compare(moe_case(256, 256, 8, 2, kQ4_K, kQ4_K, kQ6_K, true), 1e-5);
  compare(moe_case(256, 96, 4, 1, kQ4_K, kQ8_0, kQ8_0, false), 1e-5);
  compare(moe_case(32, 8, 512, 10, kQ8_0, kQ8_0, kF16, true), 1e-5);
}

// Logits that are not numbers or all the same: chosen experts are in range, of equals the first ones.
TEST_F(Ops, MoeOfOddLogits) {
  Case c;
  const WeightId in = c.inputs(16), zero = c.matrix(16, 5, 0.0f);
  c.steps = {{1}, {7}};
  plan::Moe op = {};
  op.gate = c.matrix(16, 5 * 8), op.up = c.matrix(16, 5 * 8), op.down = c.matrix(8, 5 * 16);
  op.n_experts = 5, op.top_k = 2, op.n_ff = 8, op.normalise = true;
  c.build = [=](Builder& b) {
    const ValueId x = b.embed(in);
    return b.finish(b.moe(x, b.matmul(x, zero), op));
  };
  compare(c);
  const WeightId huge = c.matrix(16, 5, 3e38f);  // sums of these overflow to infinities and to no numbers
  c.build = [=](Builder& b) {
    const ValueId x = b.embed(in);
    return b.finish(b.moe(x, b.matmul(x, huge), op));
  };
  for (const float y : on_vulkan(c, 8)) ASSERT_TRUE(std::isfinite(y));
}

Case delta_case(int32_t n_k, int32_t n_v, int32_t head_k, int32_t head_v, bool tiled, int32_t n_layers) {
  Case c;
  plan::GatedDeltaNet g = {};
  g.n_k_heads = n_k, g.n_v_heads = n_v, g.head_k = head_k, g.head_v = head_v, g.n_taps = 4, g.tiled = tiled;
  g.eps = 1e-6f;
  const int32_t n = g.n_channels();
  const WeightId qkv = c.inputs(n), a = c.inputs(n_v, 3.0f), b_in = c.inputs(n_v, 2.0f);
  std::vector<plan::GatedDeltaNet> ops;
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    g.layer = layer;
    g.conv = c.vector(4, 0.6f, n);
    std::vector<float> a_scale, dt_bias;
    for (int32_t h = 0; h < n_v; ++h) {
      a_scale.push_back(-0.05f * static_cast<float>(1 + h + layer));
      dt_bias.push_back(h == 0 ? 25.0f
                               : 0.3f * static_cast<float>(h));  // softplus is the identity from 20 on
    }
    g.a_scale = c.vector(a_scale), g.dt_bias = c.vector(dt_bias);
    ops.push_back(g);
    c.state.layers.push_back({n_v, head_v, head_k, n, 3});
  }
  c.build = [=](Builder& b) {
    const ValueId x = b.embed(qkv), alpha = b.embed(a), beta = b.embed(b_in);
    const ValueId sum = b.gated_delta_net(x, alpha, beta, ops[0]);
    for (size_t i = 1; i < ops.size(); ++i) b.add(sum, b.gated_delta_net(x, alpha, beta, ops[i]));
    return b.finish(sum);
  };
  return c;
}

TEST_F(Ops, GatedDeltaNet) {
  for (Case c : {delta_case(2, 4, 32, 32, false, 2), delta_case(2, 4, 20, 16, true, 1),
                 delta_case(1, 1, 128, 48, false, 1)}) {
    c.steps = {{1}, {2}, {7}, {33}, {1}};
    compare(c);
    c.n_sequences = 2;
    c.steps = {{2}, {5}, {30}, {2}};
    compare(c);
  }
}

// Drafted rows leave no trace but for those that hold.
TEST_F(Ops, GatedDeltaNetOfDraftedRows) {
  Case c = delta_case(2, 4, 32, 16, false, 2);
  c.steps = {{3}, {4, 3, 0}, {4, 3, 1}, {5, 4, 4}, {1}, {6, 2, 1}, {40, 12, 5}, {2}};
  compare(c);
  c.n_sequences = 2;
  compare(c);
}

// Two layers as models have them, whose ops go together in few dispatches.
struct Layers {
  DType type, type_v;
  bool heads_are_normalised, sums_are_normalised;
  plan::RopeKind rope;
};
Case layers_case(const Layers& l) {
  Case c;
  constexpr int32_t kWidth = 256, kHeads = 4, kKvHeads = 2, kHead = 64;
  const WeightId in = c.inputs(kWidth), norm = c.vector(kWidth), other_norm = c.vector(kWidth),
                 q_norm = c.vector(kHead), k_norm = c.vector(kHead),
                 wq = c.matrix(kWidth, kHeads * kHead, 0.1f, l.type),
                 wk = c.matrix(kWidth, kKvHeads * kHead, 0.1f, l.type),
                 wv = c.matrix(kWidth, kKvHeads * kHead, 0.1f, l.type_v), bias = c.vector(kKvHeads * kHead),
                 wo = c.matrix(kHeads * kHead, kWidth, 0.1f, l.type),
                 gate = c.matrix(kWidth, kWidth, 0.1f, l.type), up = c.matrix(kWidth, kWidth, 0.1f, l.type),
                 down = c.matrix(kWidth, kWidth, 0.1f, l.type_v);
  c.kv.layers = {{kKvHeads, kHead}, {kKvHeads, kHead}};
  c.max_context = 1024;
  c.steps = {{1}, {2}, {7}, {33}, {1}};
  c.build = [=](Builder& b) {
    const ValueId x = b.embed(in);
    for (int32_t layer = 0; layer < 2; ++layer) {
      ValueId h = b.rms_norm(x, norm, 1e-5f);
      ValueId q = b.matmul(h, wq), k = b.matmul(h, wk, bias);
      const ValueId v = b.matmul(h, wv);
      if (l.heads_are_normalised) {
        q = b.rms_norm(q, q_norm, 1e-6f, kHead);
        k = b.rms_norm(k, k_norm, 1e-6f, kHead);
      }
      plan::RopeParams rope = {l.rope, kHead};
      b.rope(k, kKvHeads, kHead, rope);
      rope.temperature_scale = 0.1f, rope.temperature_length = 8;
      b.rope(q, kHeads, kHead, rope);
      plan::Attention a = {};
      a.layer = layer, a.n_heads = kHeads, a.n_kv_heads = kKvHeads, a.head_dim = kHead, a.scale = 0.1f;
      const auto add = [&](ValueId y) {
        b.add(x, l.sums_are_normalised ? b.rms_norm(y, other_norm, 1e-6f) : y);
      };
      add(b.matmul(b.attention(q, k, v, a), wo));
      h = b.rms_norm(x, other_norm, 1e-5f);
      add(b.matmul(b.gated_ffn(h, gate, up, plan::Activation::kSilu), down));
    }
    return b.finish(b.matmul(b.rms_norm(b.gather_outputs(x), norm, 1e-5f), wo));
  };
  return c;
}

// With floats to the scalar kernels' accuracy, where the last bits of int8 blocks tip less; and always to the
// bits of the same ops one by one.
TEST_F(Ops, OpsThatGoTogether) {
  using enum DType;
  for (const Layers& l : {Layers{kF32, kF32, false, false, plan::RopeKind::kNeox},
                          Layers{kF32, kF32, true, true, plan::RopeKind::kAdjacent},
                          Layers{kQ4_K, kQ6_K, true, false, plan::RopeKind::kNeox},
                          Layers{kQ8_0, kQ4_K, false, true, plan::RopeKind::kAdjacent}}) {
    SCOPED_TRACE(info(l.type).name);
    const Case c = layers_case(l);
    compare(c, l.type == kF32 ? 1e-10 : 1e-4);
    const std::vector<float> together = on_vulkan(c, 8);
    options_.fuse = false;
    EXPECT_TRUE(testing::same_bits(together, on_vulkan(c, 8)));
    options_.fuse = true;
  }
}

// A plan with every op, steps for both recordings, and drafted rows.
Case every_op() {
  Case c;
  const WeightId in = c.matrix(256, testing::kVocab, 1.0f, DType::kQ4_K), norm = c.vector(256),
                 wq = c.matrix(256, 64, 0.1f, DType::kQ4_K), wk = c.matrix(256, 32, 0.1f, DType::kQ8_0),
                 wv = c.matrix(256, 32, 0.1f, DType::kQ6_K), wo = c.matrix(64, 256, 0.1f, DType::kQ8_0),
                 gate = c.matrix(256, 96, 0.1f), up = c.matrix(256, 96, 0.1f), down = c.matrix(96, 256, 0.1f),
                 router = c.matrix(256, 6, 0.1f), a_in = c.matrix(256, 2, 0.1f),
                 b_in = c.matrix(256, 2, 0.1f), qkv = c.matrix(256, 2 * 32 + 2 * 32, 0.1f);
  plan::Moe moe = {};
  moe.gate = c.matrix(256, 6 * 32, 0.1f, DType::kQ4_K), moe.up = c.matrix(256, 6 * 32, 0.1f, DType::kQ4_K);
  moe.down = c.matrix(32, 6 * 256, 0.1f, DType::kQ8_0);
  moe.n_experts = 6, moe.top_k = 2, moe.n_ff = 32, moe.normalise = true;
  plan::GatedDeltaNet net = {};
  net.n_k_heads = 1, net.n_v_heads = 2, net.head_k = 32, net.head_v = 32, net.n_taps = 4, net.eps = 1e-6f;
  net.conv = c.vector(4, 0.6f, net.n_channels());
  net.a_scale = c.vector({-0.1f, -0.2f}), net.dt_bias = c.vector({0.3f, 25.0f});
  c.state.layers = {{2, 32, 32, net.n_channels(), 3}};
  c.kv.layers = {{1, 32}};
  c.kv_k = KvType::kF16, c.kv_v = KvType::kQ8_0;
  c.max_context = 1024;  // so that few rows are split by partition
  c.steps = {{1}, {30}, {4, 3, 1}, {2}};
  c.build = [=](Builder& b) {
    const ValueId x = b.embed(in), h = b.rms_norm(x, norm, 1e-5f);
    const ValueId q = b.matmul(h, wq), k = b.matmul(h, wk), v = b.matmul(h, wv);
    b.rope(q, 2, 32, {plan::RopeKind::kNeox, 32});
    b.rope(k, 1, 32, {plan::RopeKind::kNeox, 32});
    plan::Attention a = {};
    a.n_heads = 2, a.n_kv_heads = 1, a.head_dim = 32, a.scale = 0.2f;
    const ValueId attended = b.attention(q, k, v, a);
    b.gate(attended, q, plan::GateKind::kSigmoid);
    b.add(x, b.matmul(attended, wo));
    const ValueId mixed = b.gated_delta_net(b.matmul(x, qkv), b.matmul(x, a_in), b.matmul(x, b_in), net);
    b.add(x, b.matmul(mixed, wo));
    b.add(x, b.moe(x, b.matmul(x, router), moe));
    b.add(x, b.matmul(b.gated_ffn(x, gate, up, plan::Activation::kSilu), down));
    return b.finish(b.gather_outputs(x));
  };
  return c;
}

TEST_F(Ops, MemoryTheHostCannotSeeAndSmallArenas) {
  lanes_ = {32, 64};
  options_.unmapped_memory = true;
  options_.arena_bytes = 50000;  // a few weights each
  compare(every_op(), 1e-4);
}

TEST_F(Ops, TheValidationLayerIsSilent) {
  std::vector<std::string> messages;
  options_.on_validation_message = [&](const std::string& m) { messages.push_back(m); };
  try {
    on_vulkan(every_op(), 8);
    options_.unmapped_memory = true;
    on_vulkan(every_op(), 64);
  } catch (const Error& e) {
    if (std::string(e.what()).find("validation layer") == std::string::npos) throw;
    GTEST_SKIP() << e.what();
  }
  EXPECT_THAT(messages, ::testing::IsEmpty());
}

}  // namespace
}  // namespace moraine::vulkan
