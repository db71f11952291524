#include "engine/draft_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

namespace moraine::engine {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

VocabData vocabulary(int n) {
  VocabData v;
  for (int i = 0; i < n; ++i) {
    v.tokens.push_back("t" + std::to_string(i));
    v.types.push_back(static_cast<int>(i < n - 4 ? TokenType::kNormal : TokenType::kControl));
  }
  return v;
}

bool may_draft(const DraftVocabulary& d, size_t id) {
  return id / 32 < d.allowed.size() && (d.allowed[id / 32] >> id % 32 & 1) != 0;
}

std::string refusal(const VocabData& model, const VocabData& draft) {
  try {
    match_vocabularies(model, draft, "small.gguf");
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    return e.what();
  }
  return "";
}

TEST(DraftVocabulary, TheSameDraftsAllTokens) {
  const DraftVocabulary d = match_vocabularies(vocabulary(1000), vocabulary(1000), "small.gguf");
  for (size_t id = 0; id < 1000; ++id) EXPECT_TRUE(may_draft(d, id)) << id;
  EXPECT_THAT(d.notes, IsEmpty());
}

TEST(DraftVocabulary, AFewNormalTokensMayDiffer) {
  VocabData draft = vocabulary(1000);
  for (const int id : {17, 18, 900}) draft.tokens[id] = "other";
  const DraftVocabulary d = match_vocabularies(vocabulary(1000), draft, "small.gguf");
  EXPECT_FALSE(may_draft(d, 17));
  EXPECT_TRUE(may_draft(d, 19));
  ASSERT_EQ(d.notes.size(), 1u);
  EXPECT_THAT(d.notes[0], HasSubstr("3 normal tokens differ"));
  EXPECT_THAT(d.notes[0], HasSubstr("the first is 17 ('other' and 't17')"));
}

TEST(DraftVocabulary, MoreThanOneInAHundredIsRefused) {
  VocabData draft = vocabulary(1000);
  for (int id = 300; id < 309; ++id) draft.tokens[id] += "\n";
  EXPECT_EQ(refusal(vocabulary(1000), draft), "");  // 9 of 996
  draft.tokens[309] += "\n";
  EXPECT_THAT(refusal(vocabulary(1000), draft),
              HasSubstr("10 of 996 tokens are others; the first is 300, which is 't300?'"));
}

TEST(DraftVocabulary, SpecialAndSurplusTokensAreNeverDrafted) {
  VocabData draft = vocabulary(1040);
  draft.types.assign(1040, static_cast<int>(TokenType::kNormal));
  for (int id = 996; id < 1040; ++id) draft.types[id] = static_cast<int>(TokenType::kUnused);
  draft.tokens[997] = "<|other|>";
  draft.types[998] = static_cast<int>(TokenType::kControl);
  const DraftVocabulary d = match_vocabularies(vocabulary(1000), draft, "small.gguf");
  EXPECT_TRUE(may_draft(d, 995));
  EXPECT_FALSE(may_draft(d, 997));
  EXPECT_TRUE(may_draft(d, 998));
  for (size_t id = 1000; id < 1040; ++id) EXPECT_FALSE(may_draft(d, id)) << id;
  ASSERT_EQ(d.notes.size(), 2u);
  EXPECT_THAT(d.notes[0], HasSubstr("1 special or unused tokens differ"));
  EXPECT_THAT(d.notes[1], HasSubstr("has 1040 tokens and the model 1000"));
}

TEST(DraftVocabulary, AControlTokenOfOneIsNoTextOfTheOther) {
  VocabData draft = vocabulary(1000);
  draft.types[5] = static_cast<int>(TokenType::kControl);
  EXPECT_FALSE(may_draft(match_vocabularies(vocabulary(1000), draft, "small.gguf"), 5));
}

TEST(DraftVocabulary, FilesWithoutTypesAndWithoutTokens) {
  VocabData draft = vocabulary(1000);
  draft.types.clear();
  EXPECT_TRUE(may_draft(match_vocabularies(vocabulary(1000), draft, "small.gguf"), 5));
  EXPECT_THAT(refusal(vocabulary(1000), VocabData{}), HasSubstr("no tokens in common"));
}

}  // namespace
}  // namespace moraine::engine
