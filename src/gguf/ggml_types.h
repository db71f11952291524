// Names of ggml's element types that tensor/dtype.h does not have, for errors to say "q4_2" instead of
// "type 4": types withdrawn before their files could spread, and those of activations.
#pragma once

#include <cstdint>

namespace moraine::gguf {

const char* foreign_type_name(uint32_t id) noexcept;  // "unknown" where nobody gave it a name

}  // namespace moraine::gguf
