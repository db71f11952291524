#include "backend/split/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

#include "backend/split/share.h"

namespace moraine::split {
namespace {

using plan::WeightRole;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int32_t kLayers = 3;

// Three layers of attention and experts, as architectures write them.
class Placing : public ::testing::Test {
 protected:
  Placing() {
    const auto add = [this](const std::string& name, WeightRole role, int32_t cols, int32_t rows) {
      weights_.push_back({name, DType::kF32, role, cols, rows, {}});
      return static_cast<plan::WeightId>(weights_.size()) - 1;
    };
    const auto embd = add("token_embd.weight", WeightRole::kMatrix, 32, 50);
    plan::RopeParams rope;
    rope.n_rot = 16;
    rope.freq_factors = add("rope_freqs.weight", WeightRole::kVector, 8, 1);
    struct Layer {
      plan::WeightId norm, q, k, v, o, router, gate, up, down;
    };
    std::vector<Layer> layers;
    for (int i = 0; i < kLayers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      layers.push_back({add(p + "attn_norm.weight", WeightRole::kVector, 32, 1),
                        add(p + "attn_q.weight", WeightRole::kMatrix, 32, 32),
                        add(p + "attn_k.weight", WeightRole::kMatrix, 32, 16),
                        add(p + "attn_v.weight", WeightRole::kMatrix, 32, 16),
                        add(p + "attn_output.weight", WeightRole::kMatrix, 32, 32),
                        add(p + "ffn_gate_inp.weight", WeightRole::kMatrix, 32, 4),
                        add(p + "ffn_gate_exps.weight", WeightRole::kMatrix, 32, 4 * 8),
                        add(p + "ffn_up_exps.weight", WeightRole::kMatrix, 32, 4 * 8),
                        add(p + "ffn_down_exps.weight", WeightRole::kMatrix, 8, 4 * 32)});
    }
    const auto out_norm = add("output_norm.weight", WeightRole::kVector, 32, 1);
    plan::Builder b(weights_);
    const auto x = b.embed(embd);
    for (int i = 0; i < kLayers; ++i) {
      const Layer& l = layers[i];
      const auto h = b.rms_norm(x, l.norm, 1e-5f);
      const auto q = b.matmul(h, l.q), k = b.matmul(h, l.k), v = b.matmul(h, l.v);
      b.rope(q, 2, 16, rope), b.rope(k, 1, 16, rope);
      plan::Attention a = {};
      a.layer = i, a.n_heads = 2, a.n_kv_heads = 1, a.head_dim = 16, a.scale = 0.25f;
      b.add(x, b.matmul(b.attention(q, k, v, a), l.o));
      plan::Moe moe = {};
      moe.gate = l.gate, moe.up = l.up, moe.down = l.down;
      moe.n_experts = 4, moe.top_k = 2, moe.n_ff = 8;
      b.add(x, b.moe(x, b.matmul(x, l.router), moe));
    }
    plan_ = b.finish(b.matmul(b.rms_norm(b.gather_outputs(x), out_norm, 1e-5f), embd));
  }

  Placement placed(int32_t device_layers, int32_t host_experts = 0) const {
    return place(plan_, weights_, kLayers, {device_layers, host_experts, {}});
  }
  // Weights whose names contain a text are wished somewhere.
  Placement wished(int32_t device_layers, std::vector<std::pair<std::string, Where>> wishes) const {
    std::vector<std::optional<Where>> places(weights_.size());
    for (size_t i = 0; i < weights_.size(); ++i)
      for (const auto& [text, where] : wishes)
        if (weights_[i].name.find(text) != std::string::npos) places[i] = where;
    return place(plan_, weights_, kLayers, {device_layers, 0, places});
  }
  // The kinds of ops on the host, in order.
  std::vector<std::string> on_host(const Placement& p) const {
    std::vector<std::string> names;
    for (size_t i = 0; i < p.ops.size(); ++i)
      if (p.ops[i] == Where::kHost) names.emplace_back(plan::op_name(plan_.ops[i]));
    return names;
  }

  std::vector<plan::Weight> weights_;
  plan::Plan plan_;
};

TEST_F(Placing, TheLastLayersGoToTheDevice) {
  EXPECT_TRUE(placed(0).all(Where::kHost));
  EXPECT_TRUE(placed(kLayers + 1).all(Where::kDevice));
  EXPECT_TRUE(placed(1000).all(Where::kDevice));
  size_t last = plan_.ops.size();
  for (int32_t layers = 1; layers <= kLayers; ++layers) {
    const Placement p = placed(layers);
    const auto segments = find_segments(plan_, p);
    ASSERT_EQ(segments.size(), 2u) << layers;
    EXPECT_EQ(segments[0].side, Where::kHost);
    EXPECT_EQ(segments[1].taken.size(), 1u) << layers;  // the residual stream
    EXPECT_LT(segments[1].begin, last);
    last = segments[1].begin;
  }
  // One layer is the product with the vocabulary, whatever a rope's frequencies belong to.
  EXPECT_THAT(on_host(placed(1)), ::testing::Contains("attention").Times(kLayers));
}

TEST_F(Placing, ExpertsOnTheHostCrossOnceEachWay) {
  const Placement p = placed(kLayers + 1, 2);
  EXPECT_THAT(on_host(p), ElementsAre("moe", "moe"));
  const auto segments = find_segments(plan_, p);
  ASSERT_EQ(segments.size(), 5u);
  for (size_t i = 0; i < segments.size(); ++i) {
    EXPECT_EQ(segments[i].side, i % 2 == 0 ? Where::kDevice : Where::kHost);
    EXPECT_EQ(segments[i].taken.size(), i == 0       ? 0u
                                        : i % 2 == 1 ? 2u
                                                     : 1u);  // there: rows and router; back: out
  }
  const Share host(plan_, weights_, p, Where::kHost), device(plan_, weights_, p, Where::kDevice);
  EXPECT_EQ(host.weights(weights_).size(), 6u);
  EXPECT_EQ(device.weights(weights_).size(), weights_.size() - 6);
  const plan::KvShape kv = {{{1, 16}, {1, 16}, {1, 16}}};
  EXPECT_THAT(host.kv(kv).layers, IsEmpty());
  EXPECT_EQ(device.kv(kv).layers.size(), 3u);
  EXPECT_EQ(host.plan().output, -1);
  EXPECT_EQ(device.plan().output, plan_.output);
  // Layers that are on the host anyway change nothing.
  EXPECT_EQ(placed(2, 2).ops, placed(2).ops);
}

TEST_F(Placing, OpsWithoutWeightsFollowWhatTheyRead) {
  const Placement p = wished(kLayers + 1, {{"blk.1.", Where::kHost}});
  // The residual stream stays: its sums read from both sides.
  EXPECT_THAT(on_host(p), ElementsAre("rms_norm", "matmul", "matmul", "matmul", "rope", "rope", "attention",
                                      "matmul", "matmul", "moe"));
  const Share host(plan_, weights_, p, Where::kHost);
  EXPECT_EQ(host.kv({{{1, 16}, {1, 16}, {1, 16}}}).layers.size(), 1u);
  EXPECT_THAT(p.along, IsEmpty());
}

TEST_F(Placing, AnOpGoesAsAWhole) {
  const Placement p = wished(kLayers + 1, {{"blk.2.ffn_up_exps", Where::kHost}});
  EXPECT_THAT(on_host(p), ElementsAre("moe"));
  std::vector<std::string> along;
  for (const plan::WeightId w : p.along) along.push_back(weights_[w].name);
  EXPECT_THAT(along, ElementsAre("blk.2.ffn_gate_exps.weight", "blk.2.ffn_down_exps.weight"));
  // To the device too, from layers that stay.
  const Placement there = wished(0, {{"_exps", Where::kDevice}});
  EXPECT_EQ(std::count(there.ops.begin(), there.ops.end(), Where::kDevice), kLayers);
}

TEST_F(Placing, WeightsOfOneOpThatAreWishedApart) {
  try {
    wished(kLayers + 1, {{"blk.0.ffn_gate_exps", Where::kHost}, {"blk.0.ffn_down_exps", Where::kDevice}});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(e.what(), HasSubstr("blk.0.ffn_gate_exps.weight"));
    EXPECT_THAT(e.what(), HasSubstr("blk.0.ffn_down_exps.weight"));
  }
}

TEST_F(Placing, PartsPauseWhereTheOtherSideRuns) {
  const Placement p = placed(kLayers + 1, kLayers);
  const auto count = [](const plan::Plan& part) {
    return std::count_if(part.ops.begin(), part.ops.end(),
                         [](const plan::Op& op) { return std::holds_alternative<plan::Exchange>(op); });
  };
  const Share host(plan_, weights_, p, Where::kHost), device(plan_, weights_, p, Where::kDevice);
  EXPECT_EQ(count(device.plan()), kLayers);
  EXPECT_EQ(count(host.plan()), kLayers + 1);  // before its first op, between, and behind its last
  EXPECT_TRUE(std::holds_alternative<plan::Exchange>(host.plan().ops.front()));
  EXPECT_TRUE(std::holds_alternative<plan::Exchange>(host.plan().ops.back()));
}

}  // namespace
}  // namespace moraine::split
