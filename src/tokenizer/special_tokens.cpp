#include "tokenizer/special_tokens.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace moraine {
namespace {

using Names = std::initializer_list<std::string_view>;

// The first name that is a control token of this vocabulary. "</s>" and the like are ordinary words
// (HTML) in other vocabularies, so an unmarked one counts only where its spelling leaves no doubt.
TokenId find_control(Vocab& vocab, Names names) {
  for (const std::string_view name : names) {
    const TokenId id = vocab.find(name);
    if (id == kNoToken) continue;
    const bool beyond_doubt = (name.starts_with("<|") && name.ends_with("|>")) || name == "<end_of_turn>";
    if (vocab.type(id) == TokenType::kUserDefined && beyond_doubt) vocab.set_type(id, TokenType::kControl);
    if (vocab.type(id) == TokenType::kControl) return id;
  }
  return kNoToken;
}

constexpr std::string_view kEndOfGeneration[] = {
    "<|eot_id|>",    "<|im_end|>",
    "<|end|>",       "<|return|>",
    "<|call|>",      "<|flush|>",
    "<|calls|>",     "<end_of_turn>",
    "<|endoftext|>", "</s>",
    "<|eom_id|>",    "<EOT>",
    "_<EOT>",        "[EOT]",
    "[EOS]",         "<|end_of_text|>",
    "<eos>",         "<end_of_utterance>",
    "<turn|>",       "<｜end▁of▁sentence｜>",
};

}  // namespace

SpecialTokens find_special_tokens(const VocabData& data, Vocab& vocab, bool add_bos_default) {
  const auto given = [&](const std::optional<TokenId>& id, std::string_view name) {
    if (!id) return kNoToken;
    if (*id < 0 || static_cast<size_t>(*id) >= vocab.size())
      throw Error(ErrorCode::kCorruptFile,
                  fmt::format("tokenizer.ggml.{}_token_id is {}, but the vocabulary has {} tokens.", name,
                              *id, vocab.size()));
    return *id;
  };
  const auto given_or = [&](const std::optional<TokenId>& id, std::string_view name, Names known) {
    const TokenId found = given(id, name);
    return found != kNoToken ? found : find_control(vocab, known);
  };
  SpecialTokens s;
  s.bos = given(data.bos, "bos");
  s.eos = given(data.eos, "eos");
  s.unk = given(data.unk, "unknown");
  s.sep = given(data.sep, "seperator");  // sic: the key's spelling in the format
  s.pad = given(data.pad, "padding");
  s.mask = given(data.mask, "mask");
  // In order of authority: a vocabulary with <|im_end|> ends its turns with that, not <|endoftext|>.
  s.eot =
      given_or(data.eot, "eot",
               {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
                "<EOT>", "_<EOT>", "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>"});
  s.eom = given_or(data.eom, "eom", {"<|eom_id|>"});
  s.fim_prefix = given_or(data.fim_prefix, "fim_pre",
                          {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>",
                           "▁<PRE>", "<|code_prefix|>", "<|prefix|>"});
  s.fim_suffix = given_or(data.fim_suffix, "fim_suf",
                          {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>",
                           "▁<SUF>", "<|code_suffix|>", "<|suffix|>"});
  s.fim_middle = given_or(data.fim_middle, "fim_mid",
                          {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>",
                           "▁<MID>", "<|code_middle|>", "<|middle|>"});
  s.fim_pad = given_or(data.fim_pad, "fim_pad", {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>"});
  s.fim_repo = given_or(data.fim_repo, "fim_rep",
                        {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"});
  s.fim_file_sep = given_or(data.fim_file_sep, "fim_sep", {"<|file_sep|>"});
  s.add_bos = data.add_bos.value_or(add_bos_default) && s.bos != kNoToken;
  s.add_eos = data.add_eos.value_or(false) && s.eos != kNoToken;
  for (const std::string_view name : kEndOfGeneration) find_control(vocab, {name});  // mends the types
  return s;
}

std::vector<TokenId> find_end_of_generation(const SpecialTokens& s, const Vocab& vocab) {
  // A model that moves on to another file of a repository has left the answer as well.
  std::vector<TokenId> ids = {s.eos, s.eot, s.eom, s.fim_pad, s.fim_repo, s.fim_file_sep};
  for (const std::string_view name : kEndOfGeneration) {
    const TokenId id = vocab.find(name);
    if (id == kNoToken || vocab.type(id) != TokenType::kControl) continue;
    // Where answers end with <|return|> or <|flush|>, <|end|> only closes one of their messages.
    const bool inner =
        name == "<|end|>" && (vocab.find("<|return|>") != kNoToken || vocab.find("<|flush|>") != kNoToken);
    if (!inner) ids.push_back(id);
  }
  std::erase(ids, kNoToken);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace moraine
