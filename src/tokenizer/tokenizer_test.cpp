#include <gmock/gmock.h>
#include <moraine/error.h>
#include <moraine/tokenizer.h>

#include <random>
#include <thread>

#include "tokenizer/testing.h"

namespace moraine {
namespace {

using ::testing::ElementsAre;
using Ids = std::vector<TokenId>;

std::vector<std::string> texts(const Tokenizer& t, const Ids& ids) {
  std::vector<std::string> out;
  for (const TokenId id : ids) out.emplace_back(t.token_text(id));
  return out;
}

TEST(BpeTokenizer, MergesInTheListsOrder) {
  const auto t = Tokenizer::create(testing::tiny_bpe());
  EXPECT_THAT(texts(*t, t->encode("hello  world aaaaa")),
              ElementsAre("hel", "lo", "Ġ", "Ġw", "o", "r", "l", "d", "Ġ", "aaaa", "a"));
  EXPECT_THAT(t->encode(""), ElementsAre());
}

TEST(BpeTokenizer, AnyBytesComeBack) {
  std::mt19937 random(3);
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe"}) {
    const auto t = Tokenizer::create(testing::tiny_bpe(pre));
    for (int round = 0; round < 500; ++round) {
      std::string text(random() % 60, '\0');
      for (char& c : text) c = static_cast<char>(random() % 3 ? random() : "aho wl\xC3\xA9"[random() % 8]);
      ASSERT_EQ(t->decode(t->encode(text, {.add_special = false, .parse_special = round % 2 == 0}),
                          {.show_control = true}),
                text)
          << pre;
    }
  }
}

TEST(BpeTokenizer, NormalisesWhereTheModelDoes) {
  const auto qwen = Tokenizer::create(testing::tiny_bpe("qwen2"));
  EXPECT_EQ(qwen->decode(qwen->encode("e\u0301")), "\u00e9");
  const auto gpt2 = Tokenizer::create(testing::tiny_bpe("gpt-2"));
  EXPECT_EQ(gpt2->decode(gpt2->encode("e\u0301")), "e\u0301");
}

TEST(BpeTokenizer, IgnoreMergesTakesWholeWordsFirst) {
  VocabData data = testing::tiny_bpe("llama-bpe");
  testing::add_token(data, "whole");  // no merge leads to it
  const TokenId control = testing::add_token(data, "secret", TokenType::kControl);
  const auto t = Tokenizer::create(data);
  EXPECT_THAT(texts(*t, t->encode("whole", {.add_special = false})), ElementsAre("whole"));
  EXPECT_THAT(t->encode("secret"), ::testing::Not(::testing::Contains(control)));
}

TEST(BpeTokenizer, BytesWithoutATokenAreDropped) {
  VocabData data = testing::tiny_bpe();
  data.tokens['!'] = "unused";
  const auto t = Tokenizer::create(data);
  EXPECT_EQ(t->decode(t->encode("a!b")), "ab");
}

TEST(BpeTokenizer, TextNeverMergesIntoAControlToken) {
  VocabData data = testing::tiny_bpe();
  const TokenId control = testing::add_token(data, "ow", TokenType::kControl);
  data.merges.push_back("o w");
  const auto t = Tokenizer::create(data);
  EXPECT_THAT(t->encode("ow"), ::testing::Not(::testing::Contains(control)));
  EXPECT_THAT(t->encode("ow", {.parse_special = true}), ElementsAre(control));
}

TEST(Tokenizer, BosAndEosOnceWhereAskedFor) {
  VocabData data = testing::tiny_bpe();
  const auto plain = Tokenizer::create(data);
  EXPECT_FALSE(plain->special().add_bos);  // gpt2 models by default
  EXPECT_THAT(plain->encode("a"), ElementsAre('a'));

  data.add_bos = data.add_eos = true;
  const auto t = Tokenizer::create(data);
  const TokenId bos = *data.bos, eos = *data.eos;
  EXPECT_THAT(t->encode("a"), ElementsAre(bos, 'a', eos));
  EXPECT_THAT(t->encode(""), ElementsAre(bos, eos));
  EXPECT_THAT(t->encode("a", {.add_special = false}), ElementsAre('a'));
  EXPECT_THAT(t->encode("<|begin|>a<|im_end|>", {.parse_special = true}), ElementsAre(bos, 'a', eos));
  EXPECT_THAT(t->encode("a<|begin|>", {.parse_special = true}), ElementsAre(bos, 'a', bos, eos));
  EXPECT_EQ(t->encode("<|begin|>a")[1], '<');  // letters, where specials are not parsed

  data.bos.reset();
  EXPECT_FALSE(Tokenizer::create(data)->special().add_bos);
}

TEST(Tokenizer, KnowsTheEndOfAnAnswer) {
  VocabData data = testing::tiny_bpe();
  const TokenId text = testing::add_token(data, "<|endoftext|>", TokenType::kControl);
  const TokenId html = testing::add_token(data, "</s>", TokenType::kUserDefined);
  const TokenId slip = testing::add_token(data, "<|eot_id|>", TokenType::kUserDefined);
  const auto t = Tokenizer::create(data);
  EXPECT_TRUE(t->is_end_of_generation(*data.eos));
  EXPECT_TRUE(t->is_end_of_generation(text));
  EXPECT_FALSE(t->is_end_of_generation(html));  // a word of HTML
  EXPECT_TRUE(t->is_end_of_generation(slip));
  EXPECT_TRUE(t->is_control(slip));
  EXPECT_EQ(t->special().eot, slip);
  EXPECT_FALSE(t->is_end_of_generation('a'));
  EXPECT_FALSE(t->is_end_of_generation(-1));
  EXPECT_FALSE(t->is_end_of_generation(1 << 30));
}

TEST(Tokenizer, AnswersAboutTokens) {
  const auto t = Tokenizer::create(testing::tiny_bpe());
  EXPECT_EQ(t->size(), 268u);
  EXPECT_EQ(t->find("Ġw"), 259);
  EXPECT_EQ(t->find("no such"), kNoToken);
  EXPECT_EQ(t->token_text(259), "Ġw");
  EXPECT_EQ(t->token_bytes(259), " w");
  EXPECT_EQ(t->type(t->find("<tool>")), TokenType::kUserDefined);
  EXPECT_THROW(t->type(-1), Error);
  EXPECT_THROW(t->token_text(268), Error);
  EXPECT_EQ(t->decode(Ids{-1, 'a', 268, 1 << 30}), "a");
  EXPECT_EQ(t->model(), "gpt2");
  EXPECT_EQ(t->pre(), "gpt-2");
}

TEST(SpmTokenizer, MergesByScore) {
  VocabData data = testing::tiny_spm();
  data.add_bos = false;
  const auto t = Tokenizer::create(data);
  EXPECT_THAT(texts(*t, t->encode("hello hello")), ElementsAre("▁hello", "▁hello"));
  // "aa" first and leftmost, then "ab", which scores above "aaa".
  EXPECT_THAT(texts(*t, t->encode("aaab")), ElementsAre("▁", "aa", "ab"));
  EXPECT_THAT(texts(*t, t->encode("aaa")), ElementsAre("▁", "aaa"));
  EXPECT_THAT(texts(*t, t->encode("é")), ElementsAre("▁", "é"));
  EXPECT_THAT(texts(*t, t->encode("è")), ElementsAre("▁", "<0xC3>", "<0xA8>"));
  EXPECT_THAT(texts(*t, t->encode("\xFF")), ElementsAre("▁", "<0xFF>"));
}

TEST(SpmTokenizer, ASpaceBeforeTextAndAfterSpecialTokens) {
  VocabData data = testing::tiny_spm();
  const auto t = Tokenizer::create(data);
  EXPECT_TRUE(t->special().add_bos);  // llama models by default
  EXPECT_THAT(texts(*t, t->encode("hello</s>hello", {.parse_special = true})),
              ElementsAre("<s>", "▁hello", "</s>", "▁hello"));
  EXPECT_THAT(texts(*t, t->encode("")), ElementsAre("<s>"));
  data.add_space_prefix = false;
  const auto gemma = Tokenizer::create(data);
  EXPECT_THAT(texts(*gemma, gemma->encode("hello hello")), ElementsAre("<s>", "hello", "▁hello"));
}

TEST(SpmTokenizer, OneUnknownForARunWithoutBytes) {
  VocabData data = testing::tiny_spm();
  data.add_bos = false;
  for (int b = 0; b < 256; ++b) {
    data.types[3 + b] = static_cast<int32_t>(TokenType::kUnused);
  }
  const auto t = Tokenizer::create(data);
  EXPECT_THAT(texts(*t, t->encode("aèèa")), ElementsAre("▁", "a", "<unk>", "a"));
}

TEST(SpmTokenizer, TokensAcrossSpacesStillMerge) {
  VocabData data = testing::tiny_spm();
  data.add_bos = false;
  testing::add_token(data, "a▁", TokenType::kNormal, -40);
  testing::add_token(data, "a▁b", TokenType::kNormal, -41);
  const auto t = Tokenizer::create(data);
  EXPECT_THAT(texts(*t, t->encode("a b")), ElementsAre("▁", "a▁b"));
}

TEST(SpmTokenizer, DecodingTakesTheLeadingSpaceAwayOnce) {
  const auto t = Tokenizer::create(testing::tiny_spm());
  for (const char* text : {"hello", " hello", "  a", "hello hello ", "", " ", "a\nb é è"})
    EXPECT_EQ(t->decode(t->encode(text)), text);
  const Ids ids = t->encode("hello");
  EXPECT_EQ(t->decode(ids, {.text_start = false}), " hello");
  EXPECT_EQ(t->decode(ids, {.show_control = true}), "<s>hello");
}

TEST(StreamDecoder, NeverCutsACharacter) {
  const auto t = Tokenizer::create(testing::tiny_bpe());
  const std::string text = "a\u00e9\u6f22\U0001F600!";
  StreamDecoder decoder(t);
  std::string all;
  for (const TokenId id : t->encode(text)) {
    const std::string part = decoder.push(id);
    EXPECT_EQ(StreamDecoder(t).flush(), "");
    for (const char c : part) all += c;
    // What was handed out so far is a prefix of the text that ends between characters.
    ASSERT_EQ(text.substr(0, all.size()), all);
    ASSERT_TRUE(all.size() == text.size() || (text[all.size()] & 0xC0) != 0x80);
  }
  EXPECT_EQ(all, text);
  EXPECT_EQ(decoder.flush(), "");
}

TEST(StreamDecoder, BrokenBytesBecomeReplacementCharacters) {
  const auto t = Tokenizer::create(testing::tiny_bpe());
  StreamDecoder decoder(t);
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.pending_bytes(), 2u);
  EXPECT_EQ(decoder.push('x'), "\uFFFDx");
  EXPECT_EQ(decoder.push(0xFF), "\uFFFD");
  EXPECT_EQ(decoder.push(0xE6), "");
  EXPECT_EQ(decoder.push(0xC3), "\uFFFD");
  EXPECT_EQ(decoder.push(0xA9), "\u00e9");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.push(-5), "");
  EXPECT_EQ(decoder.flush(), "\uFFFD");
  EXPECT_EQ(decoder.flush(), "");
}

TEST(StreamDecoder, ControlTokensAndTheLeadingSpace) {
  const auto t = Tokenizer::create(testing::tiny_spm());
  StreamDecoder quiet(t), loud(t, {.show_control = true}), continued(t, {.text_start = false});
  const Ids ids = {1, t->find("▁hello"), t->find("▁hello"), 2};
  std::string a, b, c;
  for (const TokenId id : ids) {
    a += quiet.push(id);
    b += loud.push(id);
    c += continued.push(id);
  }
  EXPECT_EQ(a, "hello hello");
  EXPECT_EQ(b, "<s>hello hello</s>");
  EXPECT_EQ(c, " hello hello");
  quiet.flush();
  EXPECT_EQ(quiet.push(t->find("▁hello")), "hello");  // afresh
}

TEST(Tokenizer, ManyThreadsShareOne) {
  const auto t = Tokenizer::create(testing::tiny_bpe("qwen2"));
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "hello  world e\u0301 " + std::to_string(i);
  const Ids expected = t->encode(text);
  std::vector<Ids> got(4);
  {
    std::vector<std::jthread> threads;
    for (Ids& ids : got) threads.emplace_back([&] { ids = t->encode(text); });
  }
  for (const Ids& ids : got) EXPECT_EQ(ids, expected);
}

// A megabyte that is one word, for each kind of model: linear memory, no recursion.
TEST(Tokenizer, GiantWords) {
  constexpr size_t kSize = 1 << 20;
  for (const VocabData& data : {testing::tiny_bpe(), testing::tiny_bpe("qwen2"), testing::tiny_spm()}) {
    const auto t = Tokenizer::create(data);
    for (const char* unit : {"a", " ", "\n", "\xFF", "é", "<", "h"}) {
      std::string text;
      while (text.size() < kSize) text += unit;
      ASSERT_EQ(t->decode(t->encode(text, {.parse_special = true})), text) << data.model << " " << unit;
    }
  }
}

}  // namespace
}  // namespace moraine
