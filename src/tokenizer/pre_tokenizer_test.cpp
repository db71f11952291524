#include "tokenizer/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <moraine/error.h>

namespace moraine {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> split(std::string_view pre, std::string_view text) {
  const PreTokenizer tokenizer(pre);
  const auto context = PreTokenizer::make_context();
  std::vector<std::string_view> words;
  tokenizer.split(text, *context, words);
  return {words.begin(), words.end()};
}

const char* const kAll[] = {"gpt-2",  "smollm", "llama-bpe",    "qwen2",          "qwen35",
                            "tekken", "gpt-4o", "deepseek-llm", "deepseek-coder", "deepseek-v3"};

TEST(PreTokenizer, Gpt2) {
  EXPECT_THAT(split("gpt-2", "Hello world  you're 1234!?"),
              ElementsAre("Hello", " world", " ", " you", "'re", " 1234", "!?"));
  EXPECT_THAT(split("default", "a\n\n  b \n"), ElementsAre("a", "\n\n ", " b", " \n"));
  EXPECT_THAT(split("gpt-2", "I'M"), ElementsAre("I", "'", "M"));  // contractions in lower case only
}

TEST(PreTokenizer, SmolLmTakesDigitsOneByOneBeforeAnythingElse) {
  EXPECT_THAT(split("smollm", "in  2024x"), ElementsAre("in", "  ", "2", "0", "2", "4", "x"));
  EXPECT_THAT(split("smollm", "\u00bd\u0664"), ElementsAre("\u00bd", "\u0664"));
}

TEST(PreTokenizer, Llama3) {
  EXPECT_THAT(split("llama-bpe", "I'M 12345 (foo)\n\n  bar"),
              ElementsAre("I", "'M", " ", "123", "45", " (", "foo", ")\n\n", " ", " bar"));
  EXPECT_EQ(split("llama3", "a  b"), split("llama-bpe", "a  b"));
}

TEST(PreTokenizer, Qwen2AndQwen35DifferInDigitsAndMarks) {
  EXPECT_THAT(split("qwen2", "x123"), ElementsAre("x", "1", "2", "3"));
  EXPECT_THAT(split("qwen2", "a\u0323b"), ElementsAre("a", "\u0323b"));
  EXPECT_THAT(split("qwen35", "a\u0323b"), ElementsAre("a\u0323b"));
  EXPECT_TRUE(PreTokenizer("qwen2").nfc());
  EXPECT_FALSE(PreTokenizer("llama-bpe").nfc());
}

TEST(PreTokenizer, TekkenCutsBeforeACapital) {
  EXPECT_THAT(split("tekken", "parseJSONFile I've 12\n\n/x"),
              ElementsAre("parse", "JSONFile", " I", "'ve", " ", "1", "2", "\n\n", "/x"));
  EXPECT_THAT(split("tekken", "//a/\n/ b"),
              ElementsAre("//", "a", "/\n/", " b"));  // a slash ends like a newline
  EXPECT_TRUE(PreTokenizer("tekken").ignore_merges());
  EXPECT_TRUE(PreTokenizer("tekken").add_bos());
}

TEST(PreTokenizer, Gpt4oKeepsContractionsAndThreeDigits) {
  EXPECT_THAT(split("gpt-4o", "I've HTMLPage's 1234"), ElementsAre("I've", " HTMLPage's", " ", "123", "4"));
  EXPECT_EQ(split("llama4", "I've"), split("gpt-4o", "I've"));
}

TEST(PreTokenizer, DeepSeek) {
  EXPECT_THAT(split("deepseek-coder", "if (x1):\n\n  y 漢字"),
              ElementsAre("if", " (", "x", "1", "):", "\n", "\n", " ", " y", " ", "漢字"));
  EXPECT_THAT(split("deepseek-llm", "if (x1):\n  y漢字  "),
              ElementsAre("if", " (", "x", "1", "):", "\n", " ", " y", "漢字", "  "));
  EXPECT_THAT(split("deepseek-v3", "f(x) 1234 漢字\n"),
              ElementsAre("f", "(x", ")", " ", "123", "4", " ", "漢字", "\n"));
}

// White space is Unicode's, not PCRE2's: U+180E is none, U+0085 is.
TEST(PreTokenizer, WhiteSpaceIsUnicodes) {
  EXPECT_THAT(split("gpt-2", "a \u180e b"), ElementsAre("a", " \u180e", " b"));
  EXPECT_THAT(split("gpt-2", "a\u0085\u3000 b"), ElementsAre("a", "\u0085\u3000", " b"));
}

TEST(PreTokenizer, PiecesGiveTheTextBack) {
  std::string text;
  for (uint32_t i = 0; i < 3000; ++i)
    text += i % 7 == 0 ? "é'S \n" : i % 5 == 0 ? "漢1\t" : i % 3 == 0 ? "\u0301 " : "a,";
  for (const char* pre : kAll) {
    std::string joined;
    for (const std::string& word : split(pre, text)) {
      EXPECT_FALSE(word.empty());
      joined += word;
    }
    EXPECT_EQ(joined, text) << pre;
  }
}

// One match over a megabyte must neither hit a limit nor eat the stack.
TEST(PreTokenizer, GiantWords) {
  constexpr size_t kSize = 1 << 20;
  for (const std::string pre : kAll) {
    const bool line_by_line = pre == "deepseek-llm" || pre == "deepseek-coder";
    EXPECT_EQ(split(pre, std::string(kSize, 'a')).size(), 1u) << pre;
    EXPECT_EQ(split(pre, std::string(kSize, 'A')).size(), 1u) << pre;
    EXPECT_EQ(split(pre, std::string(kSize, ' ')).size(), 1u) << pre;
    EXPECT_EQ(split(pre, std::string(kSize, '\n')).size(), line_by_line ? kSize : 1u) << pre;
    EXPECT_EQ(split(pre, std::string(kSize, '!')).size(), 1u) << pre;
    EXPECT_EQ(split(pre, std::string(kSize, ' ') + "x").size(), 2u) << pre;
    EXPECT_EQ(split(pre, std::string(kSize, ' ') + "漢").size(), pre == "deepseek-coder" ? 3u : 2u) << pre;
  }
}

TEST(PreTokenizer, AnUnknownNameFailsAndListsTheKnown) {
  try {
    PreTokenizer("brand-new");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("brand-new"));
    EXPECT_THAT(e.what(), ::testing::HasSubstr("smollm"));
  }
  EXPECT_THROW(PreTokenizer(""), Error);
}

}  // namespace
}  // namespace moraine
