#include "tokenizer/load.h"

#include <gmock/gmock.h>
#include <moraine/error.h>

#include "tokenizer/testing.h"

namespace moraine {
namespace {

gguf::Metadata metadata_of(const VocabData& data) {
  gguf::Metadata m("test");
  gguf::StringArray tokens, merges;
  for (const std::string& t : data.tokens) tokens.push_back(t);
  for (const std::string& t : data.merges) merges.push_back(t);
  m.add("tokenizer.ggml.model", std::string(data.model));
  m.add("tokenizer.ggml.pre", std::string(data.pre));
  m.add("tokenizer.ggml.tokens", std::move(tokens));
  m.add("tokenizer.ggml.token_type", data.types);
  m.add("tokenizer.ggml.scores", data.scores);
  m.add("tokenizer.ggml.merges", std::move(merges));
  return m;
}

TEST(LoadTokenizer, ReadsWhatTheFileSays) {
  const VocabData data = testing::tiny_bpe("smollm");
  gguf::Metadata m = metadata_of(data);
  m.add("tokenizer.ggml.bos_token_id", uint32_t{263});
  m.add("tokenizer.ggml.eos_token_id", uint32_t{264});
  m.add("tokenizer.ggml.padding_token_id", UINT32_MAX);  // "none"
  m.add("tokenizer.ggml.prefix_token_id", uint32_t{265});
  m.add("tokenizer.ggml.add_bos_token", true);
  const auto t = load_tokenizer(m);
  EXPECT_EQ(t->size(), data.tokens.size());
  EXPECT_EQ(t->pre(), "smollm");
  EXPECT_EQ(t->special().bos, 263);
  EXPECT_EQ(t->special().eos, 264);
  EXPECT_EQ(t->special().pad, kNoToken);
  EXPECT_EQ(t->special().fim_prefix, 265);
  EXPECT_THAT(t->encode("hello"), ::testing::ElementsAre(263, 257, 258));
}

TEST(LoadTokenizer, NamesWhatIsMissingOrWrong) {
  const auto fails = [](const gguf::Metadata& m, const char* says) {
    try {
      load_tokenizer(m);
      ADD_FAILURE() << "accepted: " << says;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kCorruptFile) << e.what();
      EXPECT_THAT(e.what(), ::testing::HasSubstr(says));
    }
  };
  fails(gguf::Metadata("empty"), "tokenizer.ggml.model");
  gguf::Metadata no_tokens("no tokens");
  no_tokens.add("tokenizer.ggml.model", "gpt2");
  fails(no_tokens, "tokenizer.ggml.tokens");
  gguf::Metadata bad_id = metadata_of(testing::tiny_bpe());
  bad_id.add("tokenizer.ggml.bos_token_id", int32_t{-2});
  fails(bad_id, "tokenizer.ggml.bos_token_id");
  gguf::Metadata wrong_type = metadata_of(testing::tiny_bpe());
  wrong_type.add("tokenizer.ggml.add_bos_token", "yes");
  fails(wrong_type, "tokenizer.ggml.add_bos_token");
}

TEST(LoadChatTemplates, TheDefaultOneThenThoseWithNames) {
  gguf::Metadata m("test");
  EXPECT_TRUE(load_chat_templates(m).texts.empty());
  m.add("tokenizer.chat_template.tool_use", std::string("tools"));
  m.add("tokenizer.chat_templates", gguf::StringArray{"missing", "tool_use"});
  m.add("tokenizer.chat_template", std::string("plain"));
  EXPECT_THAT(load_chat_templates(m).texts, ::testing::ElementsAre("plain", "tools"));
  EXPECT_THAT(load_chat_templates(m).names, ::testing::ElementsAre("default", "tool_use"));
}

}  // namespace
}  // namespace moraine
