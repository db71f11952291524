// Files that are unusual and right: they load and give what they should.
#include <gtest/gtest.h>
#include <moraine/engine.h>

#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "edited_model.h"
#include "runner.h"

namespace moraine {
namespace {

using testing::EditedModel;
using testing::EditedTensor;

std::string test_model(const char* name) {
  const char* d = std::getenv("MORAINE_BUILD_DIR");
  return std::string(d ? d : "build") + "/test-models/" + name;
}
std::string tiny_f32() { return test_model("tiny-llama-f32.gguf"); }

class Answer final : public GenerationSink {
 public:
  void on_token(const TokenEvent& e) override { tokens.push_back(e.id); }
  void on_finish(FinishReason, const GenerationStats&) override { end(); }
  void on_error(const Error& e) override {
    ADD_FAILURE() << e.what();
    end();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_; });
  }
  std::vector<TokenId> tokens;

 private:
  void end() {
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
};

std::vector<TokenId> greedy_answer(const std::string& path) {
  EngineOptions o;
  o.model_path = path;
  o.n_ctx = 256;
  auto engine = Engine::load(o);
  GenerationRequest r;
  for (int i = 0; i < 20; ++i) r.prompt.push_back(300 + 7 * i % 150);
  r.sampling.temperature = 0;
  r.sampling.ignore_eos = true;
  r.max_tokens = 20;
  auto answer = std::make_shared<Answer>();
  engine->generate(r, answer);
  answer->wait();
  return answer->tokens;
}

// Llama 3.1 and later carry a factor for each rotary frequency. Factors of one change nothing; others do.
TEST(UnusualFile, RopeFrequencyFactorsAreThoseOfTheFile) {
  const auto with_factors = [](const std::vector<float>& f) {
    const EditedModel m(tiny_f32(), {}, [&](std::vector<EditedTensor>& tensors) {
      tensors.push_back(testing::f32_tensor("rope_freqs.weight", f));
    });
    return greedy_answer(m.path());
  };
  const auto head_dim = testing::Runner(tiny_f32(), {}).model().kv_shape().layers[0].head_dim;
  const std::vector<TokenId> plain = greedy_answer(tiny_f32());
  EXPECT_EQ(with_factors(std::vector<float>(head_dim / 2, 1.0f)), plain);
  EXPECT_NE(with_factors(std::vector<float>(head_dim / 2, 16.0f)), plain);
}

// Mixtures may give gate and up formats that quantise activations by blocks of different widths, or not at
// all.
TEST(UnusualFile, GateAndUpMayHaveDifferentFormats) {
  const std::vector<TokenId> prompt = {300, 307, 314, 321, 328, 335};
  const auto expected = testing::Runner(tiny_f32(), {}).run(prompt, 6);
  for (const auto& [gate, up] : {std::pair{DType::kQ8_0, DType::kF32},
                                 {DType::kF32, DType::kQ8_0},
                                 {DType::kQ8_0, DType::kQ6_K},
                                 {DType::kQ6_K, DType::kQ8_0}}) {
    const EditedModel m(tiny_f32(), {}, [&, gate = gate, up = up](std::vector<EditedTensor>& tensors) {
      for (EditedTensor& t : tensors) {
        if (t.name == "blk.1.ffn_gate.weight" && gate != DType::kF32) testing::repack(t, gate);
        if (t.name == "blk.1.ffn_up.weight" && up != DType::kF32) testing::repack(t, up);
      }
    });
    const auto got = testing::Runner(m.path(), {}).run(prompt, 6);
    double worst = 0, scale = 0;
    for (size_t r = 0; r < got.size(); ++r)
      for (size_t i = 0; i < got[r].size(); ++i) {
        worst = std::max(worst, std::fabs(double{got[r][i]} - expected[r][i]));
        scale = std::max(scale, std::fabs(double{expected[r][i]}));
      }
    EXPECT_LT(worst, 0.03 * scale) << info(gate).name << " and " << info(up).name;
    EXPECT_GT(worst, 0) << info(gate).name << " and " << info(up).name;
  }
}

// Which layers are recurrent, as flags instead of an interval: the same model.
TEST(UnusualFile, RecurrentLayersMayBeFlags) {
  const std::string path = test_model("tiny-qwen3next-f32.gguf");
  const std::vector<TokenId> prompt = {300, 307, 314, 321, 328, 335};
  const auto expected = testing::Runner(path, {}).run(prompt, 6);
  const std::vector<bool> flags = {true, true, true, false};
  for (const gguf::Value& value :
       {gguf::Value(flags), gguf::Value(std::vector<int32_t>(flags.begin(), flags.end()))}) {
    const EditedModel m(
        path, {{"qwen3next.attention.recurrent_layers", value}, {"qwen3next.full_attention_interval", {}}});
    EXPECT_EQ(testing::Runner(m.path(), {}).run(prompt, 6), expected);
  }
}

// More query heads to a KV head than attention takes at once, in heads of eight: the same bytes as with
// each KV head written out for its query heads, for many rows and for one over several partitions.
TEST(UnusualFile, ManyHeadsMayShareOneKvHead) {
  constexpr int kHeads = 32, kHeadDim = 8;
  const auto shared_by = [](int group) {
    const auto key = [](uint32_t v) { return gguf::Value(v); };
    const std::map<std::string, std::optional<gguf::Value>> keys = {
        {"llama.attention.head_count", key(kHeads)},
        {"llama.attention.head_count_kv", key(kHeads / group)},
        {"llama.attention.key_length", key(kHeadDim)},
        {"llama.attention.value_length", key(kHeadDim)},
        {"llama.rope.dimension_count", key(kHeadDim)}};
    return EditedModel(tiny_f32(), keys, [&](std::vector<EditedTensor>& tensors) {
      for (EditedTensor& t : tensors) {
        if (t.name.find("attn_k.") == std::string::npos && t.name.find("attn_v.") == std::string::npos)
          continue;
        t.shape[1] = kHeadDim;
        t.bytes.resize(t.shape[0] * kHeadDim * 4);
        const std::vector<std::byte> one = t.bytes;
        for (int i = 1; i < kHeads / group; ++i) t.bytes.insert(t.bytes.end(), one.begin(), one.end());
        t.shape[1] *= kHeads / group;
      }
    });
  };
  std::vector<TokenId> prompt;
  for (int i = 0; i < 600; ++i) prompt.push_back(i * 37 % 500);
  const EditedModel written_out = shared_by(1);
  const auto expected = testing::Runner(written_out.path(), {}).run(prompt, 64);
  for (const int group : {32, 16}) {
    const EditedModel m = shared_by(group);
    EXPECT_EQ(testing::Runner(m.path(), {}).run(prompt, 1), expected) << group;
    EXPECT_EQ(testing::Runner(m.path(), {}).run(prompt, 500), expected) << group;
  }
}

}  // namespace
}  // namespace moraine
