// Opens GGUF files (versions 2 and 3, little-endian), alone or as a set of shards, and says what is
// in them: metadata and where each tensor lies. Every byte is taken as hostile; nothing is allocated
// from an unchecked size. Reads no tensor data: that is tensor_reader.h. The header's grammar:
// parser.cpp. Typed metadata getters: metadata.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/byte_source.h"
#include "gguf/metadata.h"
#include "tensor/dtype.h"

namespace moraine::gguf {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  uint32_t n_dims = 0;                           // 0 (a scalar) to 4
  std::array<uint64_t, 4> shape = {1, 1, 1, 1};  // innermost first; 1 beyond n_dims; never 0
  uint64_t offset = 0;                           // of the data, from the start of its shard's file
  uint64_t size_bytes = 0;
  uint32_t shard = 0;  // index into File::shards()

  uint64_t n_values() const noexcept { return shape[0] * shape[1] * shape[2] * shape[3]; }
  uint64_t n_rows() const noexcept { return shape[1] * shape[2] * shape[3]; }
  uint64_t row_bytes() const noexcept { return dtype_bytes(dtype, shape[0]); }
};

// "[4096, 32000]"
std::string shape_string(const TensorInfo& tensor);

struct Shard {
  std::filesystem::path path;  // empty when parsed from memory
  uint64_t size_bytes = 0;
  uint64_t data_offset = 0;  // where the tensor data begins
  FileIdentity identity;     // when its header was read; TensorReader refuses another
};

class File {
 public:
  // Opens one file, or, given the first shard (x-00001-of-00003.gguf), the whole set.
  // Throws Error: kNotFound (no such file or shard), kIo, kUnsupported (version 1, big-endian, an
  // element type this build does not know, another format), kCorruptFile (the message names file,
  // field, byte offset and cause).
  static File open(const std::filesystem::path& path);

  // The same for one file held in memory; `name` stands for the path in messages. A shard of a set
  // is refused: its siblings cannot be found.
  static File parse(std::span<const std::byte> bytes, std::string name);

  uint32_t version() const noexcept { return version_; }
  uint64_t alignment() const noexcept { return alignment_; }  // bytes; of the first shard
  const std::string& name() const noexcept { return metadata_.source(); }
  std::span<const Shard> shards() const noexcept { return shards_; }
  uint64_t size_bytes() const noexcept;    // of all shards
  uint64_t tensor_bytes() const noexcept;  // sum of the tensors' size_bytes

  // Of the first shard, in the file's order.
  const Metadata& metadata() const noexcept { return metadata_; }

  // In the file's order, shard after shard. No two overlap, and all lie inside their file.
  std::span<const TensorInfo> tensors() const noexcept { return tensors_; }
  const TensorInfo* find_tensor(std::string_view name) const noexcept;  // nullptr where missing
  const TensorInfo& tensor(std::string_view name) const;                // kCorruptFile where missing

 private:
  File() = default;
  void add_tensors(std::vector<TensorInfo> tensors, Shard shard);

  uint32_t version_ = 0;
  uint64_t alignment_ = 0;
  std::vector<Shard> shards_;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
};

}  // namespace moraine::gguf
