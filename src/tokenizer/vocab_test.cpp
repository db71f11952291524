// Vocabularies that contradict themselves: each is refused with kCorruptFile and a word on why.
#include "tokenizer/vocab.h"

#include <gmock/gmock.h>
#include <moraine/error.h>

#include <cmath>
#include <functional>

#include "tokenizer/testing.h"

namespace moraine {
namespace {

using ::testing::HasSubstr;

struct BadVocab {
  const char* name;
  VocabData data;
  const char* says;
};

VocabData changed(VocabData data, const std::function<void(VocabData&)>& change) {
  change(data);
  return data;
}

std::vector<BadVocab> bad_vocabs() {
  const VocabData bpe = testing::tiny_bpe(), spm = testing::tiny_spm();
  return {
      {"no tokens", changed(bpe, [](auto& d) { d.tokens.clear(); }), "no vocabulary"},
      {"types short", changed(bpe, [](auto& d) { d.types.pop_back(); }),
       "token_type has 267 entries for 268"},
      {"type unknown", changed(bpe, [](auto& d) { d.types[3] = 7; }), "token 3 the type 7"},
      {"type negative", changed(bpe, [](auto& d) { d.types[3] = -1; }), "type -1"},
      {"the same text twice", changed(bpe, [](auto& d) { d.tokens[9] = d.tokens[4]; }), "same text"},
      {"endless token", changed(bpe, [](auto& d) { d.tokens[9].assign(kMaxTokenBytes + 1, 'x'); }),
       "bytes long"},
      {"bos outside", changed(bpe, [](auto& d) { d.bos = 268; }), "bos_token_id is 268"},
      {"eos negative", changed(bpe, [](auto& d) { d.eos = -5; }), "eos_token_id is -5"},
      {"merge of one word", changed(bpe, [](auto& d) { d.merges[2] = "lo"; }), "Merge 2"},
      {"merge without right", changed(bpe, [](auto& d) { d.merges[2] = "lo "; }), "Merge 2"},
      {"empty merge", changed(bpe, [](auto& d) { d.merges[2] = ""; }), "Merge 2"},
      {"merge of a stranger", changed(bpe, [](auto& d) { d.merges[2] = "zz y"; }), "Merge 2"},
      {"merge into a stranger", changed(bpe, [](auto& d) { d.merges[2] = "z y"; }), "Merge 2"},
      {"no scores", changed(spm, [](auto& d) { d.scores.clear(); }), "scores has 0 entries"},
      {"scores short", changed(spm, [](auto& d) { d.scores.pop_back(); }), "scores has"},
      {"score not a number", changed(spm, [](auto& d) { d.scores[7] = std::nanf(""); }), "score of token 7"},
      {"not a byte", changed(spm, [](auto& d) { d.tokens[5] = "<0xG0>"; }), "marked as a byte"},
      {"endless special", changed(spm, [](auto& d) { d.tokens[1].assign(300, 'x'); }), "special token 1"},
  };
}

TEST(Vocab, RefusesWhatContradictsItself) {
  for (const BadVocab& bad : bad_vocabs()) {
    try {
      Tokenizer::create(bad.data);
      ADD_FAILURE() << bad.name << " was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kCorruptFile) << bad.name << ": " << e.what();
      EXPECT_THAT(e.what(), HasSubstr(bad.says)) << bad.name;
    }
  }
}

TEST(Vocab, UnknownModelsAndPreTokenizersAreNamed) {
  VocabData data = testing::tiny_bpe();
  data.model = "bert";
  try {
    Tokenizer::create(data);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(e.what(), HasSubstr("gpt2"));
  }
  EXPECT_THROW(Tokenizer::create(testing::tiny_bpe("mystery")), Error);
  EXPECT_NO_THROW(Tokenizer::create(testing::tiny_bpe("")));
}

TEST(Vocab, EmptyTokensAreUnused) {
  VocabData data = testing::tiny_bpe();
  const TokenId a = testing::add_token(data, ""), b = testing::add_token(data, "");
  const auto tokenizer = Tokenizer::create(data);
  EXPECT_EQ(tokenizer->type(a), TokenType::kUnused);
  EXPECT_EQ(tokenizer->find(""), kNoToken);
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{a, 'x', b}), tokenizer->decode(std::vector<TokenId>{'x'}));
}

TEST(Vocab, BytesOfTokens) {
  const Vocab bpe(testing::tiny_bpe(), ModelKind::kBpe);
  EXPECT_EQ(bpe.bytes(bpe.find("Ġw")), " w");
  EXPECT_EQ(bpe.bytes(0x80), "\x80");
  EXPECT_EQ(bpe.bytes(bpe.find("<|im_end|>")), "<|im_end|>");
  const Vocab spm(testing::tiny_spm(), ModelKind::kSpm);
  EXPECT_EQ(spm.bytes(spm.find("▁hello")), " hello");
  EXPECT_EQ(spm.bytes(spm.find("▁▁")), "  ");
  EXPECT_EQ(spm.bytes(spm.find("<0x0A>")), "\n");
  EXPECT_EQ(spm.byte_value(spm.find("<0xFF>")), 255);
  EXPECT_EQ(spm.byte_value(spm.find("▁")), -1);
}

}  // namespace
}  // namespace moraine
