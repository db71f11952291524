// Given tokens scored through the public API: what the numbers mean, that slices change no bit, and the
// errors. That they are llama.cpp's: tests/oracle/test_llama_cpp.py.
#include <gtest/gtest.h>
#include <moraine/evaluate.h>

#include <cmath>
#include <cstdlib>

namespace moraine {
namespace {

EngineOptions tiny(const char* name, int32_t n_ubatch) {
  const char* d = std::getenv("MORAINE_BUILD_DIR");
  EngineOptions o;
  o.model_path = std::string(d ? d : "build") + "/test-models/" + name;
  o.n_ctx = 400;
  o.n_threads = 2;
  o.n_ubatch = n_ubatch;
  return o;
}

std::vector<TokenId> some_tokens(int n) {
  std::vector<TokenId> tokens(n);
  for (int i = 0; i < n; ++i) tokens[i] = 3 + (i * i * 7 + i * 31) % 480;
  return tokens;
}

ErrorCode code_of(Evaluator& e, const std::vector<TokenId>& tokens, int32_t first) {
  try {
    e.log_probs(tokens, first);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

// The probabilities of every token that could come next make one.
TEST(Evaluator, LogProbsAreOfADistribution) {
  const auto e = Evaluator::load(tiny("tiny-llama-q4_k_m.gguf", 64));
  std::vector<TokenId> tokens = some_tokens(9);
  double sum = 0;
  for (TokenId t = 0; t < e->info().n_vocab; ++t) {
    tokens.back() = t;
    sum += std::exp(e->log_probs(tokens, 7).at(0));
  }
  EXPECT_NEAR(sum, 1, 1e-6);
}

// 300 tokens are more than a page and more than one slice of scored rows.
TEST(Evaluator, SlicesAndWhatIsScoredChangeNoBit) {
  for (const char* model :
       {"tiny-llama-q4_k_m.gguf", "tiny-gemma3-q8_0.gguf", "tiny-qwen3next-q4_k_m.gguf"}) {
    SCOPED_TRACE(model);
    const std::vector<TokenId> tokens = some_tokens(300);
    const auto wide = Evaluator::load(tiny(model, 512)), narrow = Evaluator::load(tiny(model, 23));
    const std::vector<double> all = wide->log_probs(tokens, 0);
    ASSERT_EQ(all.size(), 299u);
    EXPECT_EQ(narrow->log_probs(tokens, 0), all);
    EXPECT_EQ(wide->log_probs(tokens, 150), std::vector<double>(all.begin() + 150, all.end()));
    EXPECT_EQ(wide->log_probs(tokens, 0), all) << "the second call does not begin on an empty context";
  }
}

TEST(Evaluator, NothingToScore) {
  const auto e = Evaluator::load(tiny("tiny-llama-q4_k_m.gguf", 64));
  EXPECT_TRUE(e->log_probs({}, 0).empty());
  EXPECT_TRUE(e->log_probs(some_tokens(1), 0).empty());
  EXPECT_TRUE(e->log_probs(some_tokens(5), 4).empty());
}

TEST(Evaluator, ErrorsAreSaidBeforeAnyWork) {
  const auto e = Evaluator::load(tiny("tiny-llama-q4_k_m.gguf", 64));
  EXPECT_EQ(code_of(*e, some_tokens(401), 0), ErrorCode::kContextOverflow);
  EXPECT_EQ(code_of(*e, {5, -1, 6}, 0), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(*e, {5, e->info().n_vocab, 6}, 0), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(*e, some_tokens(9), -1), ErrorCode::kInvalidArgument);
}

TEST(Evaluator, CancelledBetweenSlicesItCanBeUsedAgain) {
  const auto e = Evaluator::load(tiny("tiny-llama-q4_k_m.gguf", 64));
  const std::vector<TokenId> tokens = some_tokens(300);
  const std::vector<double> whole = e->log_probs(tokens, 200);
  int32_t computed = 0;
  EXPECT_THROW(e->log_probs(tokens, 200,
                            [&](int32_t n) {
                              computed = n;
                              return n < 128;
                            }),
               Error);
  EXPECT_EQ(computed, 128);
  EXPECT_EQ(e->log_probs(tokens, 200), whole);
}

// The logits of a step are counted: 128 rows for a wide slice.
TEST(Evaluator, TellsTheMemoryOfItsLogits) {
  const auto wide = Evaluator::load(tiny("tiny-llama-q4_k_m.gguf", 512)),
             narrow = Evaluator::load(tiny("tiny-llama-q4_k_m.gguf", 28));
  EXPECT_EQ(wide->memory().other - narrow->memory().other, uint64_t{100} * 4 * wide->info().n_vocab);
}

}  // namespace
}  // namespace moraine
