#include "gguf/ggml_types.h"

namespace moraine::gguf {

// Source: enum ggml_type of ggml.h and its history.
const char* foreign_type_name(uint32_t id) noexcept {
  switch (id) {
    case 4:
      return "q4_2";
    case 5:
      return "q4_3";
    case 9:
      return "q8_1";
    case 15:
      return "q8_K";
    case 31:
      return "q4_0_4_4";
    case 32:
      return "q4_0_4_8";
    case 33:
      return "q4_0_8_8";
    case 36:
      return "iq4_nl_4_4";
    case 37:
      return "iq4_nl_4_8";
    case 38:
      return "iq4_nl_8_8";
    default:
      return "unknown";
  }
}

}  // namespace moraine::gguf
