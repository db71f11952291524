#include "tokenizer/splitter.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <moraine/error.h>

#include "tokenizer/testing.h"

namespace moraine {
namespace {

using ::testing::ElementsAre;

class SplitterTest : public ::testing::Test {
 protected:
  std::vector<std::string> split(std::string_view text, bool parse_special) {
    std::vector<std::string> parts;
    for (const Segment& s : splitter_.split(text, parse_special))
      parts.push_back(fmt::format("{}{}", s.token == kNoToken ? "" : "#", s.text));
    return parts;
  }
  Vocab vocab_{testing::tiny_bpe(), ModelKind::kBpe};
  Splitter splitter_{vocab_};
};

TEST_F(SplitterTest, ControlTokensOnlyWhereTheyAreToBeRead) {
  EXPECT_THAT(split("a<|im_end|>b", true), ElementsAre("a", "#<|im_end|>", "b"));
  EXPECT_THAT(split("a<|im_end|>b", false), ElementsAre("a<|im_end|>b"));
  EXPECT_THAT(split("a<tool>b", false), ElementsAre("a", "#<tool>", "b"));
}

TEST_F(SplitterTest, TheLeftmostThenTheLongestWins) {
  EXPECT_THAT(split("<tool><x><tool><y>", true), ElementsAre("#<tool><x>", "#<tool>", "<y>"));
  EXPECT_THAT(split("<<|im_en<|im_end|>>", true), ElementsAre("<", "#<|im", "_en", "#<|im_end|>", ">"));
  EXPECT_THAT(split("<tool", true), ElementsAre("<tool"));
  EXPECT_THAT(split("", true), ElementsAre());
}

TEST(Splitter, RefusesUnboundedSpecialTokens) {
  VocabData data = testing::tiny_bpe();
  testing::add_token(data, std::string(kMaxSpecialBytes, 'x'), TokenType::kControl);
  EXPECT_NO_THROW(Splitter(Vocab(data, ModelKind::kBpe)));
  testing::add_token(data, std::string(kMaxSpecialBytes + 1, 'x'), TokenType::kControl);
  EXPECT_THROW(Splitter(Vocab(data, ModelKind::kBpe)), Error);
}

}  // namespace
}  // namespace moraine
