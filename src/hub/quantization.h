// What a GGUF's file name says of it: quantisation, part of a set, or no model at all. Names only: no file
// is opened. The forms are those that publishers on the hub use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moraine::hub {

// "Q4_K_M", "UD-Q4_K_XL", "BF16", ..., in upper case, from "x-Q4_K_M.gguf" or "x.q4_k_m-00001-of-00002.gguf";
// the last one where there are several; empty where there is none. Folders before the file's name do not
// count.
std::string quantization_of(std::string_view file_name);

// As quantization_of writes it: "q4_k_m" -> "Q4_K_M".
std::string upper(std::string_view text);

// "x-00002-of-00003.gguf": part 2 of 3 of "x".
struct ShardName {
  std::string stem;
  uint32_t number = 0, count = 0;  // 1 <= number <= count
};
std::optional<ShardName> shard_of(std::string_view file_name);

// A .gguf that one would chat with: not a projector, an importance matrix or a vocabulary alone.
bool is_model_file(std::string_view file_name);

// "qwen3-8b" from "qwen3-8b-Q4_K_M.gguf": no folder, ending, part or quantisation.
std::string base_name_of(std::string_view file_name);

}  // namespace moraine::hub
