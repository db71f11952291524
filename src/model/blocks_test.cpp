// Hyperparameters as files give them: arrays by layer, scaled positions, and what is refused.
#include "model/blocks.h"

#include <gtest/gtest.h>
#include <moraine/error.h>

#include <cmath>
#include <functional>

#include "gguf/writer.h"

namespace moraine::model {
namespace {

using Edit = std::function<void(gguf::Metadata&)>;

// What an architecture reads, from a file that has nothing but metadata and an embedding.
class Keys {
 public:
  explicit Keys(const Edit& edit) : file_(gguf::File::parse(bytes(edit), "keys.gguf")) {}

  Hparams hparams() const { return Hparams(file_); }
  AttentionConfig attention() const { return AttentionConfig(hparams(), 4, 16); }
  plan::RopeParams rope() const { return read_rope(hparams(), plan::RopeKind::kNeox, 16, 16, 10000.0f); }

 private:
  static std::vector<std::byte> bytes(const Edit& edit) {
    gguf::Metadata meta;
    meta.add("general.architecture", gguf::Value("llama"));
    meta.add("llama.block_count", gguf::Value(4));
    meta.add("llama.context_length", gguf::Value(4096));
    meta.add("llama.embedding_length", gguf::Value(64));
    meta.add("llama.attention.head_count", gguf::Value(8));
    meta.add("llama.attention.layer_norm_rms_epsilon", gguf::Value(1e-5f));
    edit(meta);
    gguf::Writer writer(std::move(meta));
    const std::vector<std::byte> embedding(64 * 16 * 4);
    const uint64_t shape[] = {64, 16};
    writer.add_tensor("token_embd.weight", DType::kF32, shape, embedding);
    return writer.to_bytes();
  }
  gguf::File file_;
};

gguf::Value numbers(std::vector<int32_t> v) { return gguf::Value(gguf::Array(std::move(v))); }

void expect_refused(const std::function<void()>& read, std::vector<std::string_view> parts) {
  try {
    read();
    ADD_FAILURE() << "was accepted; expected an error with " << parts[0];
  } catch (const Error& e) {
    for (const std::string_view part : parts)
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << part << " is not in: " << e.what();
  }
}

TEST(Decoder, ReadsWhatEveryFileHas) {
  const DecoderConfig c(Keys([](gguf::Metadata&) {}).hparams());
  EXPECT_EQ(c.n_layers, 4);
  EXPECT_EQ(c.n_embd, 64);
  EXPECT_EQ(c.n_vocab, 16);
  EXPECT_EQ(c.n_ctx_train, 4096);
  EXPECT_EQ(c.rms_eps, 1e-5f);
}

TEST(AttentionShape, FallsBackWhereTheFileSaysNothing) {
  const AttentionConfig c = Keys([](gguf::Metadata&) {}).attention();
  EXPECT_EQ(c.n_kv_heads, 8);
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_EQ(c.scale, 0.25f);
}

TEST(Flags, ByLayer) {
  const auto flags = [](gguf::Value value) {
    return Keys([&](gguf::Metadata& m) { m.add("llama.flags", std::move(value)); })
        .hparams()
        .flags_by_layer("flags", 3);
  };
  EXPECT_EQ(Keys([](gguf::Metadata&) {}).hparams().flags_by_layer("flags", 3), std::nullopt);
  const std::vector<bool> expected = {true, false, true};
  EXPECT_EQ(flags(gguf::Value(expected)), expected);
  EXPECT_EQ(flags(gguf::Value(std::vector<bool>{true, false, true, false})), expected) << "of MTP's block";
  EXPECT_EQ(flags(numbers({1, 0, 1})), expected);
  EXPECT_EQ(flags(gguf::Value(true)), std::vector<bool>(3, true));
  EXPECT_EQ(flags(gguf::Value(uint32_t{0})), std::vector<bool>(3, false));
  expect_refused([&] { flags(gguf::Value(std::vector<bool>{true, false})); },
                 {"llama.flags", "2 values for 3"});
  expect_refused([&] { flags(numbers({1, 2, 1})); }, {"llama.flags", "holds 2"});
  expect_refused([&] { flags(gguf::Value("yes")); }, {"llama.flags"});
}

TEST(AttentionShape, KvHeadsByLayer) {
  const auto kv_heads = [](std::vector<int32_t> by_layer) {
    return Keys([&](gguf::Metadata& m) { m.add("llama.attention.head_count_kv", numbers(by_layer)); })
        .attention()
        .n_kv_heads;
  };
  EXPECT_EQ(kv_heads({2, 2, 2, 2}), 2);
  EXPECT_EQ(kv_heads({0, 0, 0, 2}), 2);
  EXPECT_EQ(kv_heads({0, 4, 0, 4, 1}), 4) << "the fifth belongs to a block beyond the layers";
  expect_refused([&] { kv_heads({2, 2, 4, 2}); }, {"attention.head_count_kv", "not the same"});
  expect_refused([&] { kv_heads({0, 0, 0, 0}); }, {"attention.head_count_kv", "is 0"});
  expect_refused([&] { kv_heads({2, 2, 2}); }, {"attention.head_count_kv", "3 values for 4 layers"});
  expect_refused([&] { kv_heads({3, 3, 3, 3}); }, {"attention.head_count_kv", "does not divide"});
}

TEST(AttentionShape, HeadsMustSuitTheKernels) {
  for (const int32_t bad : {4, 12, 2048})
    expect_refused(
        [&] {
          Keys([&](gguf::Metadata& m) { m.add("llama.attention.key_length", gguf::Value(bad)); }).attention();
        },
        {"attention.key_length"});
  expect_refused(
      [&] {
        Keys([&](gguf::Metadata& m) { m.add("llama.attention.value_length", gguf::Value(8)); }).attention();
      },
      {"attention.value_length", "differs"});
}

plan::RopeParams scaled(const char* type, const Edit& edit = [](gguf::Metadata&) {}) {
  return Keys([&](gguf::Metadata& m) {
           if (type) m.add("llama.rope.scaling.type", gguf::Value(type));
           edit(m);
         })
      .rope();
}

const Edit kFactor8 = [](gguf::Metadata& m) { m.add("llama.rope.scaling.factor", gguf::Value(8.0f)); };

TEST(RopeScaling, NoneAndLinear) {
  EXPECT_EQ(scaled(nullptr).freq_scale, 1.0f);
  EXPECT_EQ(scaled("none", kFactor8).freq_scale, 1.0f);
  EXPECT_EQ(scaled("linear", kFactor8).freq_scale, 0.125f);
  EXPECT_EQ(scaled(nullptr, kFactor8).freq_scale, 0.125f) << "files from before there were types";
  EXPECT_EQ(scaled("linear", kFactor8).yarn_original_context, 0);
  const Edit old = [](gguf::Metadata& m) { m.add("llama.rope.scale_linear", gguf::Value(4.0f)); };
  EXPECT_EQ(scaled(nullptr, old).freq_scale, 0.25f) << "DeepSeek Coder's first files";
}

TEST(RopeScaling, Yarn) {
  const plan::RopeParams p = scaled("yarn", kFactor8);
  EXPECT_EQ(p.freq_scale, 0.125f);
  EXPECT_EQ(p.yarn_original_context, 4096) << "the context length, where a file does not say";
  EXPECT_EQ(p.yarn_beta_fast, 32);
  EXPECT_EQ(p.yarn_beta_slow, 1);
  EXPECT_FLOAT_EQ(p.magnitude, 0.1f * std::log(8.0f) + 1);

  const plan::RopeParams q = scaled("yarn", [](gguf::Metadata& m) {
    kFactor8(m);
    m.add("llama.rope.scaling.original_context_length", gguf::Value(1024));
    m.add("llama.rope.scaling.yarn_beta_fast", gguf::Value(4.0f));
    m.add("llama.rope.scaling.yarn_beta_slow", gguf::Value(0.5f));
    m.add("llama.rope.scaling.yarn_log_multiplier", gguf::Value(1.0f));
  });
  EXPECT_EQ(q.yarn_original_context, 1024);
  EXPECT_EQ(q.yarn_beta_fast, 4);
  EXPECT_EQ(q.yarn_beta_slow, 0.5f);
  EXPECT_EQ(q.magnitude, 1) << "Devstral's: mscale and mscale_all_dim are the same";

  const plan::RopeParams r = scaled("yarn", [](gguf::Metadata& m) {
    kFactor8(m);
    m.add("llama.rope.scaling.yarn_attn_factor", gguf::Value(0.9f));
  });
  EXPECT_EQ(r.magnitude, 0.9f) << "a factor given stands for the computed one";
}

TEST(RopeScaling, OthersAndNonsenseAreRefused) {
  expect_refused([] { scaled("longrope"); }, {"rope.scaling.type", "longrope", "none, linear and yarn do"});
  expect_refused([] { scaled("su"); }, {"rope.scaling.type", "su"});
  const auto with = [](const char* key, float value) {
    return [=] {
      scaled("yarn", [&](gguf::Metadata& m) { m.add(std::string("llama.") + key, gguf::Value(value)); });
    };
  };
  expect_refused(with("rope.scaling.factor", 0), {"rope.scaling.factor"});
  expect_refused(with("rope.scaling.factor", -4), {"rope.scaling.factor"});
  expect_refused(with("rope.freq_base", 1), {"rope.freq_base", "not above 1"});
  expect_refused(with("rope.scaling.yarn_ext_factor", 2), {"rope.scaling.yarn_ext_factor"});
  expect_refused(with("rope.scaling.yarn_beta_fast", 0), {"rope.scaling.yarn_beta_fast"});
  expect_refused(with("rope.scaling.yarn_log_multiplier", -1), {"rope.scaling.yarn_log_multiplier"});
}

}  // namespace
}  // namespace moraine::model
