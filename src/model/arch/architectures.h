// Every architecture this build knows: one function, defined in the file of its name.
#pragma once

#include <memory>

#include "gguf/reader.h"
#include "model/model.h"

namespace moraine::model {

std::unique_ptr<Model> create_gemma3(const gguf::File& file);
std::unique_ptr<Model> create_llama(const gguf::File& file);
std::unique_ptr<Model> create_qwen2(const gguf::File& file);
std::unique_ptr<Model> create_qwen3(const gguf::File& file);
std::unique_ptr<Model> create_qwen3moe(const gguf::File& file);
std::unique_ptr<Model> create_qwen3next(const gguf::File& file);
std::unique_ptr<Model> create_qwen35(const gguf::File& file);
std::unique_ptr<Model> create_qwen35moe(const gguf::File& file);

}  // namespace moraine::model
