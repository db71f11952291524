// Any text as a grammar, a schema or the tools of a request: it becomes a constraint or an error that says
// why, and what is drawn at random under it ends, goes on or is given up. A required call, drawn to its end,
// is a call to the parser too. The first byte chooses: 'g' a grammar (GBNF), 's' a schema, '1' to '6' a
// format of calls.
#include <moraine/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "chat/answer_constraint.h"
#include "constraint/gbnf.h"
#include "constraint/lark.h"
#include "tokenizer/testing.h"

namespace {

using namespace moraine;

constexpr size_t kMaxBytes = 4096;
constexpr int kMaxDrawn = 100;

void require(bool ok) {
  if (!ok) std::abort();
}

std::shared_ptr<const Tokenizer> make_tokenizer() {
  VocabData data = testing::tiny_bpe();
  for (const char* tag : {"<tool_call>", "</tool_call>", "<|tool_call>", "<tool_call|>", "<|\"|>",
                          "</parameter>\n", "\"}", "}}"})
    testing::add_token(data, tag, TokenType::kUserDefined);
  for (const char* tag : {"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"})
    testing::add_token(data, tag, TokenType::kControl);
  return Tokenizer::create(data);
}

// What may come is drawn by a hash of the input; true where the end came.
bool draw(const chat::AnswerConstraint& bound, const Tokenizer& tokenizer, uint32_t seed, std::string& text) {
  const auto constraint = bound.start();
  if (!constraint) return false;
  std::vector<TokenId> allowed;
  for (int i = 0; i < kMaxDrawn; ++i) {
    const auto words = constraint->allowed();
    if (words.empty()) return false;
    allowed.clear();
    for (size_t id = 0; id < tokenizer.size(); ++id) {
      if ((words[id / 32] >> id % 32 & 1) == 0) continue;
      if (tokenizer.is_end_of_generation(static_cast<TokenId>(id))) return true;
      allowed.push_back(static_cast<TokenId>(id));
    }
    if (allowed.empty()) return false;
    seed = seed * 1664525 + 1013904223;
    const TokenId token = allowed[(seed >> 8) % allowed.size()];
    constraint->accept(token);
    text += tokenizer.token_bytes(token);
  }
  return false;
}

void try_input(char kind, const std::string& input, uint32_t seed) {
  static const auto tokenizer = make_tokenizer();
  chat::OutputFormat format;
  const bool calls = kind >= '1' && kind <= '6';
  if (calls) format.calls = static_cast<chat::CallFormat>(kind - '0');
  chat::AnswerConstraints constraints(tokenizer, format, {});
  std::string text;
  if (!calls) {
    auto& grammars = constraints.service().grammars;
    const std::string lark =
        kind == 's'
            ? "start: " + constraint::lark_schema(input, constraint::Properties::kNamedOnly)
            : constraint::lark_from_gbnf(input, [&](std::string_view t) { return grammars.lark_token(t); });
    draw(constraints.answer(lark, {}), *tokenizer, seed, text);
    return;
  }
  const auto bound = constraints.calls(input, {.required = true, .single = true}, {});
  require(bound.source && bound.source->grammar());
  if (!draw(bound, *tokenizer, seed, text)) return;
  // Raw text may quote what the parser takes for an end.
  if (format.calls == chat::CallFormat::kQwenXml) return;
  const auto parser = chat::make_output_parser(
      format, std::make_shared<const chat::ToolTypes>(chat::ToolTypes::from_json(input)), {.calls = true});
  require(chat::parse_message(*parser, text, chat::TextEnd::kComplete).tool_calls.size() == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > kMaxBytes) return 0;
  uint32_t seed = 1;
  for (size_t i = 0; i < size; ++i) seed = seed * 31 + data[i];
  try {
    try_input(static_cast<char>(data[0]), std::string(reinterpret_cast<const char*>(data) + 1, size - 1),
              seed);
  } catch (const Error& e) {
    require(e.code() == ErrorCode::kInvalidArgument);
  }
  return 0;
}
