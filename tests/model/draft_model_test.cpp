// The draft model on whole models: never another token than without, every architecture drafting for every
// other; its windows, what it is refused for, and tokens that a constraint forces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/engine.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <random>

#include "cases.h"
#include "generations.h"

namespace moraine {
namespace {

using testing::Case;
using testing::Collector;
using ::testing::Contains;
using testing::greedy;
using ::testing::HasSubstr;
using testing::kCases;
using testing::name_of;
using ::testing::Not;
using testing::path_of;
using testing::random_tokens;
using testing::run_all;
using testing::Said;
using testing::sampled;
using testing::Tokens;
using testing::tokens_to_generate;

std::string model(const char* file) { return path_of({"", file}); }

EngineOptions options_for(const Case& c) {
  EngineOptions o;
  o.model_path = path_of(c);
  o.n_ctx = 1024 + tokens_to_generate();
  o.n_parallel = 8;
  o.n_threads = 2;
  o.kv_type_k = o.kv_type_v = c.kv;
  o.cache_bytes = 1 << 28;
  o.speculation.max_draft = 0;
  return o;
}

// Nobody but the draft model guesses, and always.
EngineOptions drafted(EngineOptions o, const std::string& path, float p_min = 0) {
  SpeculationOptions& s = o.speculation;
  s.max_draft = 8;
  s.always = true;
  s.from_request = s.from_history = s.from_grammar = false;
  s.model.path = path;
  s.model.kv_type_k = o.kv_type_k, s.model.kv_type_v = o.kv_type_v;
  s.model.p_min = p_min;
  return o;
}

std::vector<GenerationRequest> eight_requests(int n) {
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 8; ++i) {
    requests.push_back(i % 2 ? sampled(random_tokens(20 + 7 * i, i), n, i)
                             : greedy(random_tokens(20 + 7 * i, i), n));
    if (i % 4 == 3) requests.back().sampling.presence_penalty = 0.7f;
  }
  return requests;
}

// Behind every third free token come four in a row that are determined; `tells`: what it says of them.
class Fours : public TokenConstraint {
 public:
  enum class Tells { kTruth, kLies, kNothing };
  explicit Fours(Tells tells) : tells_(tells) {}
  std::span<const uint32_t> allowed() noexcept override {
    if (left_ == 0) return {};
    words_.assign(16, 0);
    const TokenId t = next(left_);
    words_[t / 32] |= 1u << t % 32;
    return words_;
  }
  void accept(TokenId token) noexcept override {
    if (left_ > 0)
      --left_;
    else if (++n_free_ % 3 == 0)
      left_ = 4, begin_ = token;
  }
  std::span<const TokenId> forced(int32_t most) noexcept override {
    guess_.clear();
    if (tells_ == Tells::kNothing) return guess_;
    for (int i = left_; i > 0 && static_cast<int32_t>(guess_.size()) < most; --i)
      guess_.push_back(tells_ == Tells::kLies && i < 3 ? 11 : next(i));
    return guess_;
  }

 private:
  TokenId next(int left) const { return 20 + (begin_ * 7 + left * 31) % 300; }
  Tells tells_;
  int left_ = 0, n_free_ = 0;
  TokenId begin_ = 0;
  std::vector<uint32_t> words_;
  std::vector<TokenId> guess_;
};

class DraftModelTest : public ::testing::TestWithParam<Case> {};

// A model that drafts for itself, its window on the whole text, computes the very same rows in other
// batches: everything holds, greedy or sampled, if its window, its state and the noise are what they must be.
TEST_P(DraftModelTest, WhatItDraftsForItselfHolds) {
  const int n = 120;
  const auto requests = eight_requests(n);
  const EngineOptions o = options_for(GetParam());
  const std::vector<Said> plain = run_all(*Engine::load(o), requests);
  const auto engine = Engine::load(drafted(o, o.model_path));
  for (const size_t i : {0u, 3u}) {
    const Said alone = run_all(*engine, {requests[i]})[0];
    EXPECT_TRUE(alone == plain[i]) << i;
    EXPECT_EQ(alone.stats.n_accepted, alone.stats.n_drafted) << i;
    EXPECT_GE(alone.stats.n_accepted, n * 3 / 4) << i;
  }
  const std::vector<Said> together = run_all(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_TRUE(together[i] == plain[i]) << i;
    EXPECT_EQ(together[i].stats.n_accepted, together[i].stats.n_drafted) << i;
  }
  const EngineStats stats = engine->stats();
  ASSERT_EQ(stats.drafters.size(), 1u);
  EXPECT_EQ(stats.drafters[0].name, "model");
  EXPECT_EQ(stats.drafters[0].drafted, stats.drafted_tokens_total);
  EXPECT_EQ(stats.drafters[0].accepted, stats.accepted_tokens_total);
}

// The same, but each third token is followed by four that it cannot know. Its guesses fall there, and must
// hold again behind: if a window or a state kept anything of what fell, they would not.
TEST_P(DraftModelTest, ItsWindowGoesBackToWhereTheGuessesFell) {
  // The first token comes with the prompt, the last is never drafted.
  const int n = 120, n_free = (n - 1) / 7 * 3 + std::min(3, (n - 1) % 7) - 1;
  auto requests = eight_requests(n);
  for (GenerationRequest& r : requests)
    r.constraint = [] { return std::make_unique<Fours>(Fours::Tells::kNothing); };
  const EngineOptions o = options_for(GetParam());
  const std::vector<Said> plain = run_all(*Engine::load(o), requests);
  const auto engine = Engine::load(drafted(o, o.model_path));
  for (const size_t i : {0u, 3u}) {
    const Said alone = run_all(*engine, {requests[i]})[0];
    EXPECT_TRUE(alone == plain[i]) << i;
    EXPECT_GE(alone.stats.n_accepted, n_free) << i;
    EXPECT_GT(alone.stats.n_drafted, n_free + n / 2) << i;
  }
  const std::vector<Said> together = run_all(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(together[i] == plain[i]) << i;
}

// Its sibling of another precision agrees now and then: windows and states go back to where it did.
TEST_P(DraftModelTest, AnotherPrecisionLeavesTheTokensAsTheyWere) {
  std::string sibling = path_of(GetParam());
  const size_t at = sibling.find("q4_k_m");
  if (at == std::string::npos) GTEST_SKIP() << "no sibling";
  sibling.replace(at, 6, "q8_0");
  const int n = std::min(2000, tokens_to_generate() / 2);
  const auto requests = eight_requests(n);
  const EngineOptions o = options_for(GetParam());
  const std::vector<Said> plain = run_all(*Engine::load(o), requests);
  EngineOptions with = drafted(o, sibling);
  with.speculation.model.n_ctx = 128;  // it is full again and again
  const auto engine = Engine::load(with);
  const std::vector<Said> together = run_all(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(together[i] == plain[i]) << i;
  const EngineStats stats = engine->stats();
  EXPECT_GT(stats.accepted_tokens_total, 0u);
  EXPECT_LT(stats.accepted_tokens_total, stats.drafted_tokens_total);
}

// One that knows nothing of the model's mind, and is of the next architecture.
TEST_P(DraftModelTest, AStrangerLeavesTheTokensAsTheyWere) {
  if (GetParam().name == std::string("gemma3")) GTEST_SKIP() << "no other has its vocabulary";
  const char* stranger = std::string(GetParam().name).starts_with("llama") ? "tiny-qwen35moe-q4_k_m.gguf"
                         : std::string(GetParam().name) == "qwen35moe"     ? "tiny-qwen3next-q4_k_m.gguf"
                                                                           : "tiny-llama-q4_k_m.gguf";
  const auto requests = eight_requests(60);
  const EngineOptions o = options_for(GetParam());
  const std::vector<Said> plain = run_all(*Engine::load(o), requests);
  const auto engine = Engine::load(drafted(o, model(stranger)));
  const std::vector<Said> together = run_all(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(together[i] == plain[i]) << i;
  const EngineStats stats = engine->stats();
  EXPECT_GT(stats.drafted_tokens_total, 0u);
  EXPECT_LT(stats.accepted_tokens_total, stats.drafted_tokens_total / 2);
}

// All drafters and the controller, as users have them.
TEST_P(DraftModelTest, TheControllerLeavesTheTokensAsTheyWere) {
  const int n = tokens_to_generate();
  Tokens prompt = random_tokens(80, 3);
  const Tokens once = prompt;
  prompt.insert(prompt.end(), once.begin(), once.end());
  const std::vector<GenerationRequest> requests = {greedy(prompt, n), sampled(prompt, n, 9),
                                                   sampled(random_tokens(40, 4), n, 10)};
  EngineOptions o = options_for(GetParam());
  const std::vector<Said> plain = run_all(*Engine::load(o), requests);
  o.speculation = {};
  o.speculation.model.path = o.model_path;
  std::mutex mutex;
  std::vector<std::string> notices;
  o.on_notice = [&](const std::string& text) {
    const std::lock_guard lock(mutex);
    notices.push_back(text);
  };
  {
    const auto engine = Engine::load(o);
    for (int round = 0; round < 2; ++round) {
      const std::vector<Said> said = run_all(*engine, requests);
      for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(said[i] == plain[i]) << i;
    }
  }
  EXPECT_LE(notices.size(), 1u);  // one verdict, if any
  for (const std::string& text : notices) EXPECT_THAT(text, HasSubstr("The draft model "));
}

TEST_P(DraftModelTest, LimitsCancellationAndAFullContextEndARound) {
  EngineOptions o = drafted(options_for(GetParam()), path_of(GetParam()));
  o.n_ctx = 256;
  const auto engine = Engine::load(o);
  EngineOptions off = o;
  off.speculation.max_draft = 0;
  const auto reference = Engine::load(off);
  const GenerationRequest request = greedy(random_tokens(230, 6), -1);
  const Said full = run_all(*engine, {request})[0];
  EXPECT_TRUE(full == run_all(*reference, {request})[0]);
  EXPECT_TRUE(full.stats.context_full);
  EXPECT_GT(full.stats.n_accepted, 0);
  for (const int n : {1, 2, 3, 9}) {
    GenerationRequest shorter = request;
    shorter.max_tokens = n;
    EXPECT_EQ(run_all(*engine, {shorter})[0].tokens, Tokens(full.tokens.begin(), full.tokens.begin() + n));
  }
  // Cancelled while others go on; the windows are free again.
  for (int i = 0; i < 12; ++i) {
    const auto sink = std::make_shared<Collector>();
    const auto generation = engine->generate(greedy(random_tokens(20 + i, i), 200), sink);
    EXPECT_TRUE(sink->wait_until([&] { return sink->tokens.size() >= 3; }));
    generation->cancel();
    ASSERT_TRUE(sink->wait());
    EXPECT_FALSE(sink->error);
  }
  EXPECT_TRUE(run_all(*engine, {request})[0] == full);
  EXPECT_EQ(engine->stats().kv_bytes_used, engine->stats().cache_bytes_used);
}

INSTANTIATE_TEST_SUITE_P(Models, DraftModelTest, ::testing::ValuesIn(kCases), name_of);

// ---- What is refused, and what is said

std::string refusal(const EngineOptions& o, ErrorCode code) {
  int progress = 0;
  try {
    Engine::load(o, [&](const LoadProgress&) { return ++progress, true; });
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code);
    EXPECT_EQ(progress, 0) << "something large was read first";
    return e.what();
  }
  return "";
}

const EngineOptions kLlama = [] {
  EngineOptions o = options_for({"llama", "tiny-llama-q4_k_m.gguf"});
  o.speculation.max_draft = 8;
  return o;
}();

TEST(DraftModel, AnotherVocabularyIsRefused) {
  EngineOptions o = kLlama;
  o.speculation.model.path = model("tiny-gemma3-q4_k_m.gguf");
  const std::string text = refusal(o, ErrorCode::kInvalidArgument);
  EXPECT_THAT(text, HasSubstr("The draft model (-md) cannot be used."));
  EXPECT_THAT(text, HasSubstr("vocabularies differ"));
  EXPECT_THAT(text, HasSubstr("the first is "));
  EXPECT_THROW(Engine::estimate(o), Error);
  o.speculation.from_model = false;  // nobody asked for it
  EXPECT_EQ(refusal(o, ErrorCode::kInternal), "");
}

TEST(DraftModel, MissingAndCorruptFilesAreRefused) {
  EngineOptions o = kLlama;
  o.speculation.model.path = "/nowhere/draft.gguf";
  EXPECT_THAT(refusal(o, ErrorCode::kNotFound), HasSubstr("(-md) cannot be used. "));
  const std::string whole = model("tiny-llama-q4_k_m.gguf");
  const std::string cut = ::testing::TempDir() + "cut-draft.gguf";
  std::filesystem::copy_file(whole, cut, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::resize_file(cut, std::filesystem::file_size(cut) / 2);
  o.speculation.model.path = cut;
  EXPECT_THAT(refusal(o, ErrorCode::kCorruptFile), HasSubstr("(-md) cannot be used. "));
  std::ofstream(cut, std::ios::trunc) << "no model";
  EXPECT_THAT(refusal(o, ErrorCode::kCorruptFile), HasSubstr("(-md) cannot be used. "));
  std::filesystem::remove(cut);
}

TEST(DraftModel, NumbersOutsideTheirRangeAreRefused) {
  EngineOptions o = kLlama;
  o.speculation.model.path = o.model_path;
  o.speculation.model.n_ctx = 100;
  EXPECT_THAT(refusal(o, ErrorCode::kInvalidArgument), HasSubstr("at least 128 tokens"));
  o.speculation.model.n_ctx = 0;
  o.speculation.model.p_min = 2;
  EXPECT_THAT(refusal(o, ErrorCode::kInvalidArgument), HasSubstr("from 0 to 1"));
  o.speculation.model.p_min = 0;
  o.speculation.max_draft = 10'000;
  EXPECT_NE(refusal(o, ErrorCode::kInvalidArgument), "");
}

TEST(DraftModel, ALargerOneAndALongerContextAreSaid) {
  EngineOptions o = kLlama;
  o.speculation.model.path = model("tiny-llama-f32.gguf");
  o.speculation.model.n_ctx = 100'000;
  const auto engine = Engine::load(o);
  const auto& notes = engine->info().notes;
  EXPECT_THAT(notes, Contains(HasSubstr("is larger than the model")));
  EXPECT_THAT(notes, Contains(HasSubstr("looks back on 4096 tokens")));
  EXPECT_NE(engine->info().draft_model, "");
  EXPECT_GT(engine->memory().draft, 0u);
}

TEST(DraftModel, OffMeansThatItIsNotLoaded) {
  EngineOptions o = kLlama;
  o.speculation.model.path = o.model_path;
  o.speculation.max_draft = 0;
  EXPECT_EQ(Engine::load(o)->memory().draft, 0u);
  EXPECT_EQ(Engine::estimate(o).draft, 0u);
}

// It may be sure of a token only where it is.
TEST(DraftModel, StopsWhereItIsNotSure) {
  const EngineOptions o = kLlama;
  const GenerationRequest request = sampled(random_tokens(50, 1), 100, 1);
  const Said sure = run_all(*Engine::load(drafted(o, o.model_path, 0.0f)), {request})[0];
  const Said unsure = run_all(*Engine::load(drafted(o, o.model_path, 1.0f)), {request})[0];
  EXPECT_GT(sure.stats.n_drafted, 50);
  EXPECT_EQ(unsure.stats.n_drafted, 0);
  EXPECT_TRUE(sure == unsure);
}

// ---- Tokens that a constraint forces

TEST(ForcedTokens, AreDraftedAndChangeNothing) {
  EngineOptions o = kLlama;
  const auto requests = [](Fours::Tells tells) {
    std::vector<GenerationRequest> rs;
    for (int i = 0; i < 4; ++i) {
      rs.push_back(i % 2 ? sampled(random_tokens(30, i), 200, i) : greedy(random_tokens(30, i), 200));
      rs.back().constraint = [tells] { return std::make_unique<Fours>(tells); };
    }
    return rs;
  };
  o.speculation.max_draft = 0;
  const std::vector<Said> plain = run_all(*Engine::load(o), requests(Fours::Tells::kNothing));
  o.speculation.max_draft = 8;
  o.speculation.from_request = o.speculation.from_history = false;
  o.speculation.always = true;
  for (const auto tells : {Fours::Tells::kTruth, Fours::Tells::kLies}) {
    const auto engine = Engine::load(o);
    const std::vector<Said> said = run_all(*engine, requests(tells));
    for (size_t i = 0; i < said.size(); ++i) EXPECT_TRUE(said[i] == plain[i]) << i;
    const EngineStats stats = engine->stats();
    ASSERT_EQ(stats.drafters.size(), 1u);
    EXPECT_EQ(stats.drafters[0].name, "grammar");
    EXPECT_GT(stats.drafters[0].accepted, 100u);
    if (tells == Fours::Tells::kTruth)
      EXPECT_EQ(stats.drafters[0].accepted, stats.drafters[0].drafted);
    else
      EXPECT_LT(stats.drafters[0].accepted, stats.drafters[0].drafted);
  }
  // With a draft model beside, which guesses where the constraint tells nothing. What it guessed in vain lies
  // in its window still when it is asked again, many tokens later. Of seven tokens five are guessed in time:
  // two free ones and three that are forced.
  o = drafted(o, o.model_path);
  o.speculation.from_grammar = true;
  const auto engine = Engine::load(o);
  for (size_t i = 0; i < plain.size(); ++i) {
    const Said alone = run_all(*engine, {requests(Fours::Tells::kTruth)[i]})[0];
    EXPECT_TRUE(alone == plain[i]) << i;
    EXPECT_GE(alone.stats.n_accepted, 200 * 5 / 7 - 5) << i;
    EXPECT_LT(alone.stats.n_accepted, alone.stats.n_drafted) << i;
  }
}

}  // namespace
}  // namespace moraine
