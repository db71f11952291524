// Reads the data of tensors with plain positioned reads into the caller's memory: the loader's way
// from the disk, through a small bounce buffer, without a mapping. What the bytes mean: src/quant/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gguf/byte_source.h"
#include "gguf/reader.h"

namespace moraine::gguf {

class TensorReader {
 public:
  // Opens every shard of `file`, once more. Throws kIo, kNotFound, or
  // kCorruptFile where a file changed since its header was read.
  explicit TensorReader(const File& file);

  // Fills `out` with the tensor's bytes from `offset` (bytes, from the tensor's start) on. The range
  // must lie inside the tensor (kInvalidArgument). Throws kIo where the system refuses,
  // kCorruptFile where the file ends early. Several threads may read at once.
  void read(const TensorInfo& tensor, uint64_t offset, std::span<std::byte> out) const;
  std::vector<std::byte> read_all(const TensorInfo& tensor) const;

  // Tells the system that this range will not be read again, so that a file streamed through does
  // not push everything else out of the page cache. Only advice: never fails.
  void drop_cache(const TensorInfo& tensor, uint64_t offset, uint64_t size) const noexcept;

 private:
  std::vector<FileSource> shards_;
};

}  // namespace moraine::gguf
