// Headers of mixtures of experts and of hybrids with Gated DeltaNet that no model can have: each is refused
// with a message that names the key or the tensor. What every architecture shares: bad_files_test.cpp.
#include <gtest/gtest.h>
#include <moraine/engine.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <ostream>

#include "edited_model.h"

namespace moraine {
namespace {

using gguf::Value;
using testing::EditedTensor;
using Keys = std::map<std::string, std::optional<Value>>;  // without a value: dropped

Keys key(const char* name, uint32_t v) { return {{name, Value(v)}}; }
Keys list(const char* name, std::vector<int32_t> v) { return {{name, Value(gguf::Array(std::move(v)))}}; }
Keys without(const char* name) { return {{name, std::nullopt}}; }

struct BadMixture {
  const char* name;
  const char* file;
  Keys keys;
  std::vector<const char*> message_has;
  testing::EditTensors edit = {};
  ErrorCode code = ErrorCode::kCorruptFile;

  friend void PrintTo(const BadMixture& c, std::ostream* out) { *out << c.name; }
};

testing::EditTensors drop(const char* name) {
  return [=](std::vector<EditedTensor>& tensors) {
    ASSERT_EQ(std::erase_if(tensors, [&](const auto& t) { return t.name == name; }), 1u) << name;
  };
}

// The same bytes under another shape.
testing::EditTensors reshape(const char* name, std::vector<uint64_t> shape) {
  return [=](std::vector<EditedTensor>& tensors) {
    for (EditedTensor& t : tensors)
      if (t.name == name) {
        t.shape = shape;
        return;
      }
    FAIL() << name;
  };
}

// Another shape, filled with zeros.
testing::EditTensors resize(const char* name, std::vector<uint64_t> shape, const char* new_name = nullptr) {
  return [=](std::vector<EditedTensor>& tensors) {
    for (EditedTensor& t : tensors)
      if (t.name == name) {
        uint64_t n = 1;
        for (const uint64_t d : shape) n *= d;
        t.shape = shape;
        t.bytes.assign(dtype_bytes(t.dtype, n), std::byte{});
        if (new_name) t.name = new_name;
        return;
      }
    FAIL() << name;
  };
}

class Mixture : public ::testing::TestWithParam<BadMixture> {};

TEST_P(Mixture, IsRefusedWithCauseAndPlace) {
  const BadMixture& c = GetParam();
  const char* build = std::getenv("MORAINE_BUILD_DIR");
  const testing::EditedModel model(std::string(build ? build : "build") + "/test-models/" + c.file, c.keys,
                                   c.edit);
  EngineOptions o;
  o.model_path = model.path();
  o.n_ctx = 256;
  for (const bool estimate : {true, false}) {
    try {
      if (estimate)
        Engine::estimate(o);
      else
        Engine::load(o);
      ADD_FAILURE() << "was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), c.code) << e.what();
      for (const char* part : c.message_has)
        EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << part << " is not in: " << e.what();
    }
  }
}

constexpr const char* kMoe = "tiny-qwen3moe-f32.gguf";
constexpr const char* kNext = "tiny-qwen3next-f32.gguf";
constexpr const char* kSsmIn = "tiny-qwen3next-f32-ssm-in.gguf";
constexpr const char* kFused = "tiny-qwen3next-f32-k4-v4.gguf";  // gate and up in one tensor
constexpr uint32_t kHuge = 4000000000u;

INSTANTIATE_TEST_SUITE_P(
    Experts, Mixture,
    ::testing::Values(
        BadMixture{"no_count", kMoe, without("qwen3moe.expert_count"), {"qwen3moe.expert_count"}},
        BadMixture{"count_0", kMoe, key("qwen3moe.expert_count", 0), {"qwen3moe.expert_count", "is 0"}},
        BadMixture{"count_huge", kMoe, key("qwen3moe.expert_count", kHuge), {"qwen3moe.expert_count"}},
        BadMixture{"count_16385", kMoe, key("qwen3moe.expert_count", 16385), {"qwen3moe.expert_count"}},
        BadMixture{
            "count_16384", kMoe, key("qwen3moe.expert_count", 16384), {"ffn_gate_inp", "[256, 16384]"}},
        BadMixture{"count_7", kMoe, key("qwen3moe.expert_count", 7), {"blk.0.ffn_gate_inp", "[256, 7]"}},
        BadMixture{"used_0", kMoe, key("qwen3moe.expert_used_count", 0), {"expert_used_count", "is 0"}},
        BadMixture{
            "used_9", kMoe, key("qwen3moe.expert_used_count", 9), {"expert_used_count", "from 1 to 8"}},
        BadMixture{"used_huge", kMoe, key("qwen3moe.expert_used_count", kHuge), {"expert_used_count"}},
        BadMixture{
            "ff_0", kMoe, key("qwen3moe.expert_feed_forward_length", 0), {"expert_feed_forward_length"}},
        BadMixture{"ff_huge",
                   kMoe,
                   key("qwen3moe.expert_feed_forward_length", kHuge),
                   {"expert_feed_forward_length"}},
        BadMixture{"ff_32",
                   kMoe,
                   key("qwen3moe.expert_feed_forward_length", 32),
                   {"ffn_gate_exps", "[256, 64, 8]", "[256, 32, 8]"}},
        BadMixture{"ff_12",
                   kMoe,
                   key("qwen3moe.expert_feed_forward_length", 12),
                   {"ffn_gate_exps", "12 rows"},
                   resize("blk.0.ffn_gate_exps.weight", {256, 12, 8}),
                   ErrorCode::kUnsupported},
        BadMixture{"embd_12", kMoe, key("qwen3moe.embedding_length", 12), {"token_embd.weight", "[12, 512]"}},
        BadMixture{"no_router",
                   kMoe,
                   {},
                   {"blk.2.ffn_gate_inp.weight", "missing"},
                   drop("blk.2.ffn_gate_inp.weight")},
        BadMixture{"no_gate",
                   kMoe,
                   {},
                   {"blk.1.ffn_gate_exps.weight", "missing"},
                   drop("blk.1.ffn_gate_exps.weight")},
        BadMixture{
            "no_up", kMoe, {}, {"blk.1.ffn_up_exps.weight", "missing"}, drop("blk.1.ffn_up_exps.weight")},
        BadMixture{"no_down",
                   kMoe,
                   {},
                   {"blk.3.ffn_down_exps.weight", "missing"},
                   drop("blk.3.ffn_down_exps.weight")},
        BadMixture{"flat_stack",
                   kMoe,
                   {},
                   {"blk.0.ffn_gate_exps.weight", "[256, 512]", "[256, 64, 8]"},
                   reshape("blk.0.ffn_gate_exps.weight", {256, 512})},
        BadMixture{"down_transposed",
                   kMoe,
                   {},
                   {"blk.0.ffn_down_exps.weight", "[256, 64, 8]", "[64, 256, 8]"},
                   reshape("blk.0.ffn_down_exps.weight", {256, 64, 8})},
        BadMixture{"fewer_experts",
                   kMoe,
                   {},
                   {"blk.1.ffn_up_exps.weight", "[256, 64, 6]"},
                   resize("blk.1.ffn_up_exps.weight", {256, 64, 6})},
        BadMixture{"four_dimensions",
                   kMoe,
                   {},
                   {"blk.1.ffn_up_exps.weight"},
                   reshape("blk.1.ffn_up_exps.weight", {256, 64, 4, 2})},
        BadMixture{"fused_and_short",
                   kMoe,
                   {},
                   {"blk.0.ffn_gate_up_exps.weight", "[256, 128, 8]"},
                   resize("blk.0.ffn_gate_exps.weight", {256, 64, 8}, "blk.0.ffn_gate_up_exps.weight")},
        // Rows of the fused stack beyond 31 bits, long before any shape is compared.
        BadMixture{"fused_overflow",
                   kFused,
                   {{"qwen3next.expert_count", Value(uint32_t{16384})},
                    {"qwen3next.expert_feed_forward_length", Value(uint32_t{1 << 20})}},
                   {"blk.0.ffn_gate_up_exps.weight", "[256, 128, 8]", "[256, 2097152, 16384]"},
                   resize("blk.0.ffn_gate_inp.weight", {256, 16384})},
        BadMixture{"shared_huge",
                   kNext,
                   key("qwen3next.expert_shared_feed_forward_length", kHuge),
                   {"expert_shared_feed_forward_length"}},
        BadMixture{"shared_width",
                   kNext,
                   key("qwen3next.expert_shared_feed_forward_length", 128),
                   {"ffn_gate_shexp", "[256, 128]"}},
        BadMixture{"no_shared_router",
                   kNext,
                   {},
                   {"blk.0.ffn_gate_inp_shexp.weight", "missing"},
                   drop("blk.0.ffn_gate_inp_shexp.weight")}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    DeltaNet, Mixture,
    ::testing::Values(
        BadMixture{"taps_0", kNext, key("qwen3next.ssm.conv_kernel", 0), {"ssm.conv_kernel", "is 0"}},
        BadMixture{"taps_1", kNext, key("qwen3next.ssm.conv_kernel", 1), {"ssm.conv_kernel", "is 1"}},
        BadMixture{"taps_9", kNext, key("qwen3next.ssm.conv_kernel", 9), {"ssm.conv_kernel", "is 9"}},
        BadMixture{"taps_3", kNext, key("qwen3next.ssm.conv_kernel", 3), {"ssm_conv1d", "[3, 512]"}},
        BadMixture{
            "state_odd", kNext, key("qwen3next.ssm.state_size", 63), {"ssm.state_size", "multiple of 8"}},
        BadMixture{"state_0", kNext, key("qwen3next.ssm.state_size", 0), {"ssm.state_size", "is 0"}},
        BadMixture{"state_huge", kNext, key("qwen3next.ssm.state_size", kHuge), {"ssm.state_size"}},
        BadMixture{"state_32", kNext, key("qwen3next.ssm.state_size", 32), {"attn_qkv", "[256, 384]"}},
        BadMixture{"groups_0", kNext, key("qwen3next.ssm.group_count", 0), {"ssm.group_count", "is 0"}},
        BadMixture{
            "groups_3", kNext, key("qwen3next.ssm.group_count", 3), {"ssm.time_step_rank", "multiple"}},
        BadMixture{
            "groups_8", kNext, key("qwen3next.ssm.group_count", 8), {"ssm.time_step_rank", "multiple"}},
        BadMixture{"v_heads_0", kNext, key("qwen3next.ssm.time_step_rank", 0), {"time_step_rank", "is 0"}},
        BadMixture{"v_heads_huge", kNext, key("qwen3next.ssm.time_step_rank", kHuge), {"time_step_rank"}},
        BadMixture{"inner_0", kNext, key("qwen3next.ssm.inner_size", 0), {"ssm.inner_size", "is 0"}},
        BadMixture{"inner_1", kNext, key("qwen3next.ssm.inner_size", 1), {"ssm.inner_size"}},
        BadMixture{"inner_odd", kNext, key("qwen3next.ssm.inner_size", 4 * 24), {"ssm.inner_size", "16"}},
        BadMixture{
            "inner_wide", kNext, key("qwen3next.ssm.inner_size", 4 * 1040), {"ssm.inner_size", "1024"}},
        BadMixture{"inner_huge", kNext, key("qwen3next.ssm.inner_size", kHuge), {"ssm.inner_size"}},
        BadMixture{"no_state_size", kNext, without("qwen3next.ssm.state_size"), {"ssm.state_size"}},
        BadMixture{"interval_0",
                   kNext,
                   key("qwen3next.full_attention_interval", 0),
                   {"full_attention_interval", "is 0"}},
        BadMixture{"interval_1", kNext, key("qwen3next.full_attention_interval", 1), {"blk.0.attn_q.weight"}},
        BadMixture{"interval_5",
                   kNext,
                   key("qwen3next.full_attention_interval", 5),
                   {"full_attention_interval", "no layer"}},
        BadMixture{"interval_huge",
                   kNext,
                   key("qwen3next.full_attention_interval", kHuge),
                   {"full_attention_interval"}},
        BadMixture{
            "no_kv", kNext, without("qwen3next.attention.head_count_kv"), {"head_count_kv", "missing"}},
        BadMixture{"kv_0", kNext, key("qwen3next.attention.head_count_kv", 0), {"head_count_kv"}},
        BadMixture{"kv_3", kNext, key("qwen3next.attention.head_count_kv", 3), {"head_count_kv", "divide"}},
        BadMixture{
            "kv_short", kNext, list("qwen3next.attention.head_count_kv", {0, 0, 0}), {"head_count_kv"}},
        BadMixture{"kv_none", kNext, list("qwen3next.attention.head_count_kv", {}), {"head_count_kv"}},
        BadMixture{"kv_all_0",
                   kNext,
                   list("qwen3next.attention.head_count_kv", {0, 0, 0, 0}),
                   {"head_count_kv", "no layer that attends"}},
        BadMixture{"kv_negative",
                   kNext,
                   list("qwen3next.attention.head_count_kv", {0, 0, 0, -2}),
                   {"head_count_kv", "-2"}},
        BadMixture{"kv_differ",
                   kNext,
                   list("qwen3next.attention.head_count_kv", {2, 0, 0, 4}),
                   {"head_count_kv", "same"}},
        BadMixture{"kv_elsewhere",
                   kNext,
                   list("qwen3next.attention.head_count_kv", {0, 0, 2, 0}),
                   {"blk.2.attn_q.weight", "missing"}},
        BadMixture{
            "flags_short", kNext, list("qwen3next.attention.recurrent_layers", {1, 1}), {"recurrent_layers"}},
        BadMixture{"flags_odd",
                   kNext,
                   list("qwen3next.attention.recurrent_layers", {1, 1, 1, 2}),
                   {"recurrent_layers", "2"}},
        BadMixture{"flags_all",
                   kNext,
                   {{"qwen3next.attention.recurrent_layers", Value(true)}},
                   {"recurrent_layers", "no layer that attends"}},
        BadMixture{"flags_bool_short",
                   kNext,
                   {{"qwen3next.attention.recurrent_layers", Value(std::vector<bool>{true, true})}},
                   {"recurrent_layers", "2 values for 4 layers"}},
        BadMixture{
            "flags_elsewhere",
            kNext,
            {{"qwen3next.attention.recurrent_layers", Value(std::vector<bool>{true, true, false, true})}},
            {"blk.2.attn_q.weight", "missing"}},
        BadMixture{
            "rot_odd", kNext, key("qwen3next.rope.dimension_count", 15), {"rope.dimension_count", "odd"}},
        BadMixture{"rot_wide", kNext, key("qwen3next.rope.dimension_count", 66), {"rope.dimension_count"}},
        BadMixture{
            "nextn_huge", kNext, key("qwen3next.nextn_predict_layers", kHuge), {"nextn_predict_layers"}},
        BadMixture{
            "no_conv", kNext, {}, {"blk.1.ssm_conv1d.weight", "missing"}, drop("blk.1.ssm_conv1d.weight")},
        BadMixture{"no_ssm_a", kNext, {}, {"blk.2.ssm_a", "missing"}, drop("blk.2.ssm_a")},
        BadMixture{"no_dt", kNext, {}, {"blk.0.ssm_dt.bias", "missing"}, drop("blk.0.ssm_dt.bias")},
        BadMixture{"no_ba", kNext, {}, {"blk.0.ssm_alpha.weight", "missing"}, drop("blk.0.ssm_ba.weight")},
        BadMixture{"no_qkv", kNext, {}, {"blk.0.attn_qkv.weight", "missing"}, drop("blk.0.attn_qkv.weight")},
        BadMixture{"no_z", kNext, {}, {"blk.0.attn_gate.weight", "missing"}, drop("blk.0.attn_gate.weight")},
        BadMixture{"queries_without_gates",
                   kNext,
                   {},
                   {"blk.3.attn_q.weight", "[256, 256]", "[256, 512]"},
                   resize("blk.3.attn_q.weight", {256, 256})},
        BadMixture{"ba_narrow",
                   kNext,
                   {},
                   {"blk.0.ssm_ba.weight", "[256, 8]"},
                   resize("blk.0.ssm_ba.weight", {256, 4})},
        BadMixture{"conv_transposed",
                   kNext,
                   {},
                   {"blk.0.ssm_conv1d.weight", "[512, 4]", "[4, 512]"},
                   reshape("blk.0.ssm_conv1d.weight", {512, 4})},
        BadMixture{"norm_of_all_heads",
                   kNext,
                   {},
                   {"blk.0.ssm_norm.weight", "[256]"},
                   resize("blk.0.ssm_norm.weight", {256})},
        BadMixture{"ssm_in_short",
                   kSsmIn,
                   {},
                   {"blk.0.ssm_in.weight", "[256, 512]", "[256, 768]"},
                   resize("blk.0.ssm_in.weight", {256, 512})}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace moraine
