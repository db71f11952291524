// A Tokenizer, and the texts of the chat templates, from the metadata of a model file. What the keys mean is
// checked by Tokenizer::create(); types and ranges by gguf/metadata.h.
#pragma once

#include <moraine/tokenizer.h>

#include <memory>
#include <string>
#include <vector>

#include "gguf/metadata.h"
#include "tokenizer/vocab_data.h"

namespace moraine {

// Both throw Error: kCorruptFile (the message names the key), kUnsupported.
VocabData load_vocab(const gguf::Metadata& metadata);
std::shared_ptr<const Tokenizer> load_tokenizer(const gguf::Metadata& metadata);

// The file's chat templates as they stand, the default one first; further ones have names ("tool_use").
// What they can do: chat/template.h.
struct ChatTemplateTexts {
  std::vector<std::string> texts, names;
};
ChatTemplateTexts load_chat_templates(const gguf::Metadata& metadata);

}  // namespace moraine
