#include "server/api/sampling_fields.h"

#include <gtest/gtest.h>

#include <cmath>

#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

// What a request body comes to.
class SamplingFields : public testing::Test {
 protected:
  SamplingParams params(const Json& fields) {
    Json body = {{"prompt", "x"}};
    body.update(fields);
    const Json answer = h.post("/completion", body);
    EXPECT_EQ(h.last_status, 200) << dump(answer);
    return h.engine->requests().back().sampling;
  }
  std::string refused(const Json& fields) {  // the field at fault
    Json body = {{"prompt", "x"}};
    body.update(fields);
    const Json answer = h.post("/completion", body, 400);
    return answer.contains("error") ? answer["error"]["param"].get<std::string>() : dump(answer);
  }
  ReadyHarness h;
};

TEST_F(SamplingFields, RequestThenFlagsThenFileThenBuiltIn) {
  ModelInfo::Sampling file;
  file.temperature = 0.1f;
  file.top_k = 11;
  file.min_p = NAN;  // a hostile file
  file.repeat_penalty = -1;
  SamplingOverrides flags;
  flags.temperature = 0.2f;
  const SamplingChoice defaults = sampling_defaults(file, flags);
  EXPECT_EQ(defaults.params.temperature, 0.2f);
  EXPECT_EQ(defaults.params.top_k, 11);
  EXPECT_EQ(defaults.params.min_p, SamplingParams{}.min_p);
  EXPECT_EQ(defaults.params.repeat_penalty, 1.0f);
  Log log({});
  const Json body = {{"temperature", 0.3}};
  const SamplingChoice choice = sampling_from(Fields(body), defaults, *byte_tokenizer(), log);
  EXPECT_EQ(choice.params.temperature, 0.3f);
  EXPECT_EQ(choice.sources.at("temperature"), Source::kRequest);
  EXPECT_EQ(choice.sources.at("top_k"), Source::kFile);
  EXPECT_EQ(choice.sources.at("top_p"), Source::kBuiltIn);
}

TEST_F(SamplingFields, AllFieldsArrive) {
  const SamplingParams p =
      params(Json::parse(R"({"temperature":0,"top_k":5,"top_p":0.5,"min_p":0.1,"typical_p":0.9,
      "repeat_penalty":1.1,"presence_penalty":0.2,"frequency_penalty":-0.3,"repeat_last_n":-1,"min_keep":2,"seed":42,
      "ignore_eos":true})"));
  EXPECT_EQ(p.temperature, 0.0f);
  EXPECT_EQ(p.top_k, 5);
  EXPECT_EQ(p.top_p, 0.5f);
  EXPECT_EQ(p.min_p, 0.1f);
  EXPECT_EQ(p.typical_p, 0.9f);
  EXPECT_EQ(p.repeat_penalty, 1.1f);
  EXPECT_EQ(p.presence_penalty, 0.2f);
  EXPECT_EQ(p.frequency_penalty, -0.3f);
  EXPECT_EQ(p.repeat_last_n, -1);
  EXPECT_EQ(p.min_keep, 2);
  EXPECT_EQ(p.seed, 42u);
  EXPECT_TRUE(p.ignore_eos);
}

TEST_F(SamplingFields, NullMeansNotGiven) {
  EXPECT_EQ(params({{"temperature", nullptr}, {"stop", nullptr}, {"seed", nullptr}}).temperature, 0.8f);
}

TEST_F(SamplingFields, WithoutASeedEachRequestHasItsOwn) {
  EXPECT_NE(params(Json::object()).seed, params(Json::object()).seed);
  EXPECT_NE(params({{"seed", -1}}).seed, params({{"seed", -1}}).seed);
  EXPECT_NE(params({{"seed", 4294967295u}}).seed, params({{"seed", 4294967295u}}).seed);
}

TEST_F(SamplingFields, WrongTypesAndRangesNameTheField) {
  EXPECT_EQ(refused({{"temperature", "hot"}}), "temperature");
  EXPECT_EQ(refused({{"top_p", -0.1}}), "top_p");
  EXPECT_EQ(refused({{"min_p", 2}}), "min_p");
  EXPECT_EQ(refused({{"repeat_penalty", 0}}), "repeat_penalty");
  EXPECT_EQ(refused({{"top_k", 1.5}}), "top_k");
  EXPECT_EQ(refused({{"top_k", 1e12}}), "top_k");
  EXPECT_EQ(refused({{"repeat_last_n", -2}}), "repeat_last_n");
  EXPECT_EQ(refused({{"seed", "x"}}), "seed");
  EXPECT_EQ(refused({{"stream", 1}}), "stream");
  EXPECT_EQ(refused({{"stop", 7}}), "stop");
  EXPECT_EQ(refused({{"stop", {1, 2}}}), "stop");
  EXPECT_EQ(refused({{"stop", Json(std::vector<std::string>(300, "x"))}}), "stop");
  EXPECT_EQ(refused({{"n", 0}}), "n");
  EXPECT_EQ(refused({{"n", 1000000}}), "n");
  EXPECT_EQ(refused({{"n", -1}}), "n");
  EXPECT_EQ(refused({{"n_predict", -3}}), "n_predict");
  EXPECT_EQ(refused({{"max_tokens", "many"}}), "max_tokens");
  EXPECT_EQ(refused({{"n_probs", -1}}), "n_probs");
  EXPECT_EQ(refused({{"model", 5}}), "model");
}

TEST_F(SamplingFields, LogitBiasInBothForms) {
  using Bias = std::vector<std::pair<TokenId, float>>;
  EXPECT_EQ(params({{"logit_bias", {{"97", -100}, {"98", 1.5}}}}).logit_bias,
            (Bias{{97, -100.f}, {98, 1.5f}}));
  const Json array = Json::parse(R"([[97,-1],["bc",2],[100,false]])");
  EXPECT_EQ(params({{"logit_bias", array}}).logit_bias,
            (Bias{{97, -1.f}, {98, 2.f}, {99, 2.f}, {100, -INFINITY}}));
  EXPECT_TRUE(params({{"logit_bias", Json::object()}}).logit_bias.empty());
  for (const char* bad :
       {R"([[-1,1]])", R"([[260,1]])", R"([[97]])", R"([97])", R"([[97,"x"]])", R"([[97,true]])",
        R"([[null,1]])", R"({"99999":1})", R"("x")", R"([[18446744073709551615,1]])"}) {
    EXPECT_EQ(refused({{"logit_bias", Json::parse(bad)}}), "logit_bias") << bad;
  }
  EXPECT_EQ(refused({{"logit_bias", {{std::string(20000, 'x'), 1}, {"y", 1}}}}), "logit_bias");
}

TEST_F(SamplingFields, SamplersThatAreNotThereAreIgnoredWithOneWarning) {
  params({{"mirostat", 0}, {"dry_multiplier", 0.0}, {"xtc_probability", 0}, {"samplers", ""}});
  EXPECT_TRUE(h.log.empty());  // neutral values
  params({{"mirostat", 2}});
  params({{"mirostat", 2}});
  ASSERT_EQ(h.log.size(), 1u);
  EXPECT_NE(h.log[0].find("'mirostat'"), std::string::npos);
}

TEST_F(SamplingFields, TheLimitHasManyNames) {
  for (const char* name : {"max_tokens", "max_completion_tokens", "n_predict"}) {
    params({{name, 3}});
    EXPECT_EQ(h.engine->requests().back().max_tokens, 3) << name;
  }
  params({{"n_predict", -1}});
  EXPECT_EQ(h.engine->requests().back().max_tokens, -1);
  params({{"max_tokens", 4294967296}});  // no limit a context can hold
  EXPECT_EQ(h.engine->requests().back().max_tokens, 255);
}

}  // namespace
}  // namespace moraine::server
