// A model in each weight format: embeddings, products and output agree with the same weights unpacked
// to floats, and rows' bytes do not depend on slices or on the instruction set. The formats themselves:
// src/quant; their kernels: src/backend/cpu/kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "edited_model.h"
#include "runner.h"

namespace moraine {
namespace {

using testing::EditedModel;
using testing::EditedTensor;
using testing::Runner;
using Logits = std::vector<std::vector<float>>;

constexpr int kTokens = 60;

class Format : public ::testing::TestWithParam<DType> {
 protected:
  // The tiny llama with its embedding, which is the output too, and its first layer in this format.
  Format()
      : model_(tiny_llama(), {}, [](std::vector<EditedTensor>& tensors) {
          for (EditedTensor& t : tensors)
            if (t.shape.size() == 2 && (t.name == "token_embd.weight" || t.name.starts_with("blk.0.")))
              testing::repack(t, GetParam());
        }) {}

  static std::string tiny_llama() {
    const char* d = std::getenv("MORAINE_BUILD_DIR");
    return std::string(d ? d : "build") + "/test-models/tiny-llama-f32.gguf";
  }
  Logits run(bool as_f32, const std::string& isa, int slice) const {
    Runner::Options o;
    o.as_f32 = as_f32;
    o.isa = isa;
    o.kv_k = o.kv_v = KvType::kF32;
    std::vector<TokenId> prompt;
    for (int i = 0; i < kTokens; ++i) prompt.push_back(i * 37 % 480);
    return Runner(model_.path(), o).run(prompt, slice);
  }

  EditedModel model_;
};

double kl_divergence(const std::vector<float>& of, const std::vector<float>& from) {
  const auto log_sum = [](const std::vector<float>& x) {
    const double largest = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (float v : x) sum += std::exp(v - largest);
    return largest + std::log(sum);
  };
  const double p0 = log_sum(of), q0 = log_sum(from);
  double kl = 0;
  for (size_t i = 0; i < of.size(); ++i) kl += std::exp(of[i] - p0) * ((of[i] - p0) - (from[i] - q0));
  return kl;
}

// One test, as packing takes longest.
TEST_P(Format, AgreesWithItsWeightsAsFloatsAndWithItself) {
  const Logits floats = run(true, "", 64), quantised = run(false, "scalar", 64);
  double kl = 0;
  for (int i = 0; i < kTokens; ++i) kl += kl_divergence(floats[i], quantised[i]) / kTokens;
  std::printf("[ measured ] %s: KL %.5f\n", info(GetParam()).name, kl);
  EXPECT_LT(kl, 0.01);
  EXPECT_NE(floats, quantised);
  for (const std::string& isa : cpu::available_isas()) {
    EXPECT_EQ(run(false, isa, 64), quantised) << isa;
    EXPECT_EQ(run(false, isa, 3), quantised) << isa;
  }
}

std::string format_name(const ::testing::TestParamInfo<DType>& p) { return info(p.param).name; }

INSTANTIATE_TEST_SUITE_P(All, Format,
                         ::testing::Values(DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                           DType::kQ8_0, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K,
                                           DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS,
                                           DType::kMXFP4),
                         format_name);

}  // namespace
}  // namespace moraine
