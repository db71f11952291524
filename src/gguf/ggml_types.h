// Names of ggml's element types by id, those included that this build cannot compute with, so that
// an error can say "iq2_xxs" instead of "type 16". What it can: tensor/dtype.h.
#pragma once

#include <cstdint>

namespace moraine::gguf {

const char* ggml_type_name(uint32_t id) noexcept;  // "unknown" where nobody gave it a name

}  // namespace moraine::gguf
