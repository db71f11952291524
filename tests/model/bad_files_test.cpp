// Files that are well-formed GGUF but no model this program runs: each is refused with a message that
// names what is wrong and what to do, before anything large is read. Malformed GGUF: src/gguf tests.
#include <gtest/gtest.h>
#include <moraine/engine.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>

#include "edited_model.h"

namespace moraine {
namespace {

using gguf::Value;

// A change to a copy of the tiny llama: keys to replace or drop, tensors to drop or to reshape.
struct Change {
  const char* name;
  std::map<std::string, std::optional<Value>> keys;
  std::string drop_tensor;
  std::string transpose_tensor;
  ErrorCode code;
  std::vector<const char*> message_has;
};

class BadFile : public ::testing::TestWithParam<Change> {};

TEST_P(BadFile, IsRefusedWithCauseAndPlace) {
  const Change& c = GetParam();
  const char* build = std::getenv("MORAINE_BUILD_DIR");
  const testing::EditedModel model(std::string(build ? build : "build") + "/test-models/tiny-llama-f32.gguf",
                                   c.keys, [&](std::vector<testing::EditedTensor>& tensors) {
                                     std::erase_if(tensors,
                                                   [&](const auto& t) { return t.name == c.drop_tensor; });
                                     for (auto& t : tensors)
                                       if (t.name == c.transpose_tensor)
                                         std::reverse(t.shape.begin(), t.shape.end());
                                   });
  EngineOptions o;
  o.model_path = model.path();
  o.n_ctx = 256;
  try {
    Engine::load(o);
    ADD_FAILURE() << "was loaded";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), c.code) << e.what();
    for (const char* part : c.message_has)
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << part << " is not in: " << e.what();
  }
}

std::optional<Value> u32(uint32_t v) { return Value(v); }
std::optional<Value> f32(float v) { return Value(v); }
std::optional<Value> text(const char* v) { return Value(v); }
constexpr auto kGone = std::nullopt;

INSTANTIATE_TEST_SUITE_P(
    Llama, BadFile,
    ::testing::Values(
        Change{"arch",
               {{"general.architecture", text("mamba9")}},
               "",
               "",
               ErrorCode::kUnsupported,
               {"mamba9", "gemma3", "llama"}},
        Change{"no_arch",
               {{"general.architecture", kGone}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"general.architecture"}},
        Change{"missing",
               {},
               "blk.2.ffn_up.weight",
               "",
               ErrorCode::kCorruptFile,
               {"blk.2.ffn_up.weight", "missing"}},
        Change{"missing_embd", {}, "token_embd.weight", "", ErrorCode::kCorruptFile, {"token_embd.weight"}},
        Change{"shape",
               {},
               "",
               "blk.1.ffn_up.weight",
               ErrorCode::kCorruptFile,
               {"blk.1.ffn_up.weight", "[512, 256]", "[256, 512]"}},
        Change{"layers",
               {{"llama.block_count", u32(5)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"blk.4.attn_norm.weight"}},
        Change{"zero_layers",
               {{"llama.block_count", u32(0)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"llama.block_count", "is 0"}},
        Change{"huge_layers",
               {{"llama.block_count", u32(4000000000u)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"llama.block_count"}},
        Change{"no_heads",
               {{"llama.attention.head_count", kGone}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"llama.attention.head_count"}},
        Change{"kv_heads",
               {{"llama.attention.head_count_kv", u32(3)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"head_count_kv", "divide"}},
        Change{"head_dim",
               {{"llama.attention.key_length", u32(63)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"key_length", "multiple of 8"}},
        Change{"rot",
               {{"llama.rope.dimension_count", u32(200)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"rope.dimension_count"}},
        Change{"scaling",
               {{"llama.rope.scaling.type", text("warp")}},
               "",
               "",
               ErrorCode::kUnsupported,
               {"warp", "yarn"}},
        Change{"scaling_factor",
               {{"llama.rope.scaling.type", text("linear")}, {"llama.rope.scaling.factor", f32(0)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"llama.rope.scaling.factor", "is 0"}},
        Change{"rope_base",
               {{"llama.rope.freq_base", f32(-10000)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"llama.rope.freq_base", "above 0"}},
        Change{"eps",
               {{"llama.attention.layer_norm_rms_epsilon", f32(0)}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"layer_norm_rms_epsilon", "above 0"}},
        Change{"type",
               {{"llama.embedding_length", text("many")}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"llama.embedding_length", "string"}},
        Change{"no_tokenizer",
               {{"tokenizer.ggml.model", kGone}},
               "",
               "",
               ErrorCode::kCorruptFile,
               {"tokenizer.ggml.model"}},
        Change{"tokenizer",
               {{"tokenizer.ggml.model", text("runes")}},
               "",
               "",
               ErrorCode::kUnsupported,
               {"runes", "gpt2", "llama"}},
        Change{"pre",
               {{"tokenizer.ggml.pre", text("klingon")}},
               "",
               "",
               ErrorCode::kUnsupported,
               {"klingon", "smollm"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(BadFile, NotThereAndNoModel) {
  EngineOptions o;
  o.model_path = "/no/such/model.gguf";
  try {
    Engine::load(o);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(e.what()).find("/no/such/model.gguf"), std::string::npos);
  }
}

// The file can be read and described; a tensor that does not run is refused by name, with the remedy.
TEST(FormatThatDoesNotRun, IsRefusedWhereItIsUsed) {
  for (const DType t : {DType::kIQ2_XXS, DType::kTQ1_0, DType::kNVFP4, DType::kI32}) {
    const char* build = std::getenv("MORAINE_BUILD_DIR");
    const testing::EditedModel model(
        std::string(build ? build : "build") + "/test-models/tiny-llama-f32.gguf", {},
        [&](std::vector<testing::EditedTensor>& tensors) {
          for (testing::EditedTensor& tensor : tensors)
            if (tensor.name == "blk.1.ffn_up.weight") {
              tensor.dtype = t;
              tensor.bytes.resize(dtype_bytes(t, tensor.bytes.size() / 4));
            }
        });
    EXPECT_EQ(gguf::File::open(model.path()).tensor("blk.1.ffn_up.weight").dtype, t);
    EngineOptions o;
    o.model_path = model.path();
    try {
      Engine::estimate(o);
      ADD_FAILURE() << info(t).name << " was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
      for (const char* part : {"blk.1.ffn_up.weight", info(t).name, "Q4_K_M"})
        EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << part << " is not in: " << e.what();
    }
  }
}

// What the published model would compute with must not be passed over in silence.
TEST(UnusedTensor, IsRefusedOrTold) {
  const char* build = std::getenv("MORAINE_BUILD_DIR");
  const std::string source = std::string(build ? build : "build") + "/test-models/tiny-llama-f32.gguf";
  const auto with = [&](const std::string& name) {
    return std::make_unique<testing::EditedModel>(
        source, std::map<std::string, std::optional<gguf::Value>>{},
        [&](auto& tensors) { tensors.push_back(testing::f32_tensor(name, std::vector<float>(256, 0.5f))); });
  };
  EngineOptions o;
  for (const char* name : {"blk.0.ffn_up.bias", "blk.1.ffn_gate_shexp.weight", "output.bias"}) {
    const auto model = with(name);
    o.model_path = model->path();
    try {
      Engine::estimate(o);
      ADD_FAILURE() << name << " was passed over";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
    }
  }
  o.n_ctx = 256;
  for (const char* name : {"somebodys.notes", "v.blk.0.attn_q.bias", "mm.1.bias"}) {
    const auto model = with(name);
    o.model_path = model->path();
    const auto notes = Engine::load(o)->info().notes;
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find(name), std::string::npos) << notes[0];
  }
}

}  // namespace
}  // namespace moraine
