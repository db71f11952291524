#include "tokenizer/load.h"

#include <string>

#include "tokenizer/vocab.h"

namespace moraine {
namespace {

std::vector<std::string> copy_strings(const gguf::StringArray& strings) {
  return std::vector<std::string>(strings.begin(), strings.end());
}

}  // namespace

VocabData load_vocab(const gguf::Metadata& metadata) {
  const auto key = [](std::string_view name) { return "tokenizer.ggml." + std::string(name); };
  const auto check_size = [&](const gguf::StringArray& strings, std::string_view name, size_t limit) {
    if (strings.size() > limit)
      metadata.throw_bad(key(name), "has " + std::to_string(strings.size()) + " entries, but at most " +
                                        std::to_string(limit) + " are accepted");
  };
  VocabData data;
  data.model = metadata.get_string(key("model"));
  data.pre = metadata.get_string(key("pre"), "");
  const gguf::StringArray& tokens = metadata.get_strings(key("tokens"));
  check_size(tokens, "tokens", kMaxTokens);
  data.tokens = copy_strings(tokens);
  if (auto types = metadata.find_numbers<int32_t>(key("token_type"))) data.types = std::move(*types);
  if (auto scores = metadata.find_numbers<float>(key("scores"))) data.scores = std::move(*scores);
  if (const gguf::StringArray* merges = metadata.find_strings(key("merges"))) {
    check_size(*merges, "merges", kMaxMerges);
    data.merges = copy_strings(*merges);
  }

  const auto id = [&](std::initializer_list<std::string_view> names) -> std::optional<TokenId> {
    for (const std::string_view name : names) {
      const std::optional<int64_t> value = metadata.find<int64_t>(key(name) + "_token_id");
      if (!value || *value == -1 || *value == UINT32_MAX) continue;  // -1: how some writers say "none"
      if (*value < 0 || *value > INT32_MAX) metadata.throw_bad(key(name) + "_token_id", "is not a token id");
      return static_cast<TokenId>(*value);
    }
    return std::nullopt;
  };
  data.bos = id({"bos"});
  data.eos = id({"eos"});
  data.eot = id({"eot"});
  data.eom = id({"eom"});
  data.unk = id({"unknown"});
  data.sep = id({"seperator"});  // sic
  data.pad = id({"padding"});
  data.mask = id({"mask"});
  data.fim_prefix = id({"fim_pre", "prefix"});  // the second name of each is the older one
  data.fim_suffix = id({"fim_suf", "suffix"});
  data.fim_middle = id({"fim_mid", "middle"});
  data.fim_pad = id({"fim_pad"});
  data.fim_repo = id({"fim_rep"});
  data.fim_file_sep = id({"fim_sep"});
  data.add_bos = metadata.find<bool>(key("add_bos_token"));
  data.add_eos = metadata.find<bool>(key("add_eos_token"));
  data.add_space_prefix = metadata.find<bool>(key("add_space_prefix"));
  return data;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const gguf::Metadata& metadata) {
  return Tokenizer::create(load_vocab(metadata));
}

ChatTemplateTexts load_chat_templates(const gguf::Metadata& metadata) {
  ChatTemplateTexts found;
  const auto add = [&](const std::string& key, std::string_view name) {
    if (const auto text = metadata.find<std::string_view>(key)) {
      found.texts.emplace_back(*text);
      found.names.emplace_back(name);
    }
  };
  add("tokenizer.chat_template", "default");
  if (const gguf::StringArray* names = metadata.find_strings("tokenizer.chat_templates"))
    for (const std::string_view name : *names) add("tokenizer.chat_template." + std::string(name), name);
  return found;
}

}  // namespace moraine
