// Ranges of tensors to ranges of files; the reads themselves are FileSource's.
#include "gguf/tensor_reader.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include "base/check.h"

namespace moraine::gguf {

TensorReader::TensorReader(const File& file) {
  for (const Shard& shard : file.shards()) {
    if (shard.path.empty())
      throw Error(
          ErrorCode::kInvalidArgument,
          fmt::format("{} was read from memory, not from a file: its tensors are in the caller's memory.",
                      file.name()));
    shards_.emplace_back(shard.path);
    if (shards_.back().identity() != shard.identity)
      throw Error(
          ErrorCode::kCorruptFile,
          fmt::format("{} changed since its header was read. Wait until it is complete and load it again.",
                      escape_text(shard.path.native(), 4096)));
  }
}

void TensorReader::read(const TensorInfo& tensor, uint64_t offset, std::span<std::byte> out) const {
  MORAINE_CHECK(tensor.shard < shards_.size());
  if (offset > tensor.size_bytes || out.size() > tensor.size_bytes - offset)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("The tensor '{}' has {} bytes; bytes {} to {} + {} cannot be read.",
                            escape_text(tensor.name), tensor.size_bytes, offset, offset, out.size()));
  shards_[tensor.shard].read_at(tensor.offset + offset, out);
}

std::vector<std::byte> TensorReader::read_all(const TensorInfo& tensor) const {
  std::vector<std::byte> bytes(tensor.size_bytes);
  read(tensor, 0, bytes);
  return bytes;
}

void TensorReader::drop_cache(const TensorInfo& tensor, uint64_t offset, uint64_t size) const noexcept {
  MORAINE_CHECK(tensor.shard < shards_.size());
  shards_[tensor.shard].drop_cache(tensor.offset + offset, size);
}

}  // namespace moraine::gguf
