// The tokenizers of real files against ids from the `tokenizers` package (make_golden.py wrote them).
// A model that is not in models/ is skipped.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gguf/reader.h"
#include "tokenizer/load.h"
#include "tokenizer/utf8.h"

namespace moraine {
namespace {

namespace fs = std::filesystem;

fs::path source_dir() {
  const char* dir = std::getenv("MORAINE_SOURCE_DIR");
  return dir != nullptr ? dir : ".";
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  if (hex == "-") return bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

uint64_t fnv1a(const std::vector<TokenId>& ids) {
  uint64_t value = 0xCBF29CE484222325;
  for (const TokenId id : ids)
    for (int shift = 0; shift < 32; shift += 8)
      value = (value ^ (static_cast<uint32_t>(id) >> shift & 0xFF)) * 0x100000001B3;
  return value;
}

// Streaming must say the same as decoding at once, whole characters only.
void expect_streams_alike(const std::shared_ptr<const Tokenizer>& tokenizer,
                          const std::vector<TokenId>& ids) {
  StreamDecoder decoder(tokenizer, {.show_control = true});
  std::string streamed;
  for (const TokenId id : ids) {
    const std::string part = decoder.push(id);
    ASSERT_EQ(utf8::valid_prefix(part), part.size());
    streamed += part;
  }
  streamed += decoder.flush();
  const std::string whole = tokenizer->decode(ids, {.show_control = true});
  if (utf8::valid_prefix(whole) == whole.size()) {
    EXPECT_EQ(streamed, whole);
  }
}

struct Golden {
  const char* name;
  const char* model;
};

class GoldenTest : public ::testing::TestWithParam<Golden> {};

TEST_P(GoldenTest, IdsAreTheReferences) {
  const fs::path model = source_dir() / "models" / GetParam().model;
  if (!fs::exists(model))
    GTEST_SKIP() << model << " is not there; `make model` and `make model-gemma` get it.";
  const auto tokenizer = load_tokenizer(gguf::File::open(model).metadata());
  std::ifstream in(source_dir() / "tests/tokenizer/golden" / (std::string(GetParam().name) + ".txt"));
  int cases = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream fields(line);
    std::string kind, hex;
    fields >> kind >> hex;
    std::string text = from_hex(hex);
    ++cases;
    if (kind == "L") {
      size_t times, n;
      uint64_t hash;
      fields >> times >> n >> std::hex >> hash;
      std::string all;
      for (size_t i = 0; i < times; ++i) all += text;
      const std::vector<TokenId> ids = tokenizer->encode(all, {.add_special = false});
      EXPECT_EQ(ids.size(), n) << times << " times " << ::testing::PrintToString(text);
      EXPECT_EQ(fnv1a(ids), hash) << times << " times " << ::testing::PrintToString(text);
    } else {
      std::vector<TokenId> expected;
      for (TokenId id; fields >> id;) expected.push_back(id);
      const auto ids = tokenizer->encode(text, {.add_special = false, .parse_special = kind == "s"});
      EXPECT_EQ(ids, expected) << kind << " " << ::testing::PrintToString(text);
      expect_streams_alike(tokenizer, ids);
    }
  }
  EXPECT_GT(cases, 400) << "the golden file is missing or cut";
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest,
                         ::testing::Values(Golden{"smollm2", "smollm2-135m-instruct-q4_1.gguf"},
                                           Golden{"gemma3", "gemma3-270m-q4_k_m.gguf"}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace moraine
