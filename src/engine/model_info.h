// What a file says about itself, for people and for the API.
#pragma once

#include <moraine/engine.h>

#include "gguf/reader.h"
#include "model/model.h"

namespace moraine::engine {

ModelInfo describe_model(const gguf::File& file, const model::Model& model, const std::string& path);

}  // namespace moraine::engine
