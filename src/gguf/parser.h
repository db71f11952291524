// The grammar of one GGUF file: header, metadata, tensor infos. Internal to reader.cpp and the
// fuzzer; knows nothing of shards. Values of the metadata are not judged here beyond their types,
// except general.alignment, which the layout needs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/byte_source.h"
#include "gguf/reader.h"

namespace moraine::gguf {

struct ParsedFile {
  uint32_t version = 0;
  uint64_t alignment = 0;
  uint64_t data_offset = 0;
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // checked: inside the file, aligned, none overlapping, names unique
};

// `name` stands for the file in messages. Throws as File::open does.
ParsedFile parse_file(const ByteSource& source, const std::string& name);

// For a file that does not begin with "GGUF": an error that says what it seems to be and what to do.
[[noreturn]] void throw_foreign_format(const ByteSource& source, const std::string& name);

}  // namespace moraine::gguf
