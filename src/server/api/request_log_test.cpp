// The log line of a request, and what it says of the cache.
#include "server/api/request_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api/testing/fake_engine.h"

namespace moraine::server {
namespace {

using ::testing::HasSubstr;

constexpr TokenId kBegin = 256;  // <|im_start|> of the fake vocabulary

std::vector<TokenId> chat(std::initializer_list<std::string> messages) {
  std::vector<TokenId> prompt;
  for (const std::string& m : messages) {
    prompt.push_back(kBegin);
    for (const TokenId t : byte_tokens(m)) prompt.push_back(t);
    prompt.push_back(kFakeEnd);
  }
  return prompt;
}

TEST(RequestLog, ALineHasTheSameFieldsAlways) {
  http::Request r;
  r.path = "/v1/chat/completions";
  r.remote = "127.0.0.1:51234";
  r.headers = {{"User-Agent", "agent/1.2 (some system)"}};
  EXPECT_EQ(request_line(r, "done", {1000, 900, 50, 200, 1000, 230, 1240}),
            "/v1/chat/completions from 127.0.0.1 agent/1.2: done, prompt 1000 = 900 cached + 100 new at "
            "500.0 tok/s, "
            "answer 50 at 50.0 tok/s, first token 230 ms, whole 1240 ms");
  r.headers = {{"User-Agent", "a\nb"}};
  EXPECT_EQ(
      request_line(r, "the client left", {}),
      "/v1/chat/completions from 127.0.0.1 a?b: the client left, prompt 0 = 0 cached + 0 new at 0.0 tok/s, "
      "answer 0 at 0.0 tok/s, first token none, whole 0 ms");
}

TEST(RequestLog, ToldIsTheFirstDifferentTokenAndItsMessage) {
  const auto tokenizer = byte_tokenizer();
  const auto prompt = chat({"system\n" + std::string(100, 's'), "user\nhello", "tool\nnew", "assistant\n"});
  GenerationStats stats;
  stats.n_prompt = static_cast<int32_t>(prompt.size());
  stats.n_known = stats.n_cached = 109 + 12 + 6;  // "new" was "old"
  stats.known_next = 'o';
  EXPECT_EQ(cache_note(prompt, stats, *tokenizer),
            "; known up to token 127, in message 3 \"tool\": \"n\" was \"o\"");
  stats.n_cached = 50;
  EXPECT_THAT(cache_note(prompt, stats, *tokenizer),
              HasSubstr("of 127 known tokens 77 computed again: no state was kept there"));
  stats.known_next = '\n';
  EXPECT_THAT(cache_note(prompt, stats, *tokenizer), HasSubstr("\"n\" was \"\\n\""));
}

TEST(RequestLog, NothingIsToldOfHitsAndStrangers) {
  const auto tokenizer = byte_tokenizer();
  const auto prompt = chat({"system\n" + std::string(100, 's'), "user\nhello"});
  GenerationStats stats;
  stats.n_prompt = static_cast<int32_t>(prompt.size());
  for (const int32_t known : {0, 20, stats.n_prompt}) {
    stats.n_known = stats.n_cached = known;
    stats.known_next = known == 20 ? 'x' : -1;
    EXPECT_EQ(cache_note(prompt, stats, *tokenizer), "");
  }
  stats.n_known = stats.n_cached = 110;  // it goes on where the other ended
  EXPECT_EQ(cache_note(prompt, stats, *tokenizer), "");
  const auto plain = byte_tokens(std::string(200, 'a'));
  stats.known_next = 'b';
  EXPECT_EQ(cache_note(plain, stats, *tokenizer), "; known up to token 110: \"a\" was \"b\"");
}

}  // namespace
}  // namespace moraine::server
