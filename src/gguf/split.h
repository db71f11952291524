// Sets of shards as llama-gguf-split writes them: x-00001-of-00003.gguf with the keys split.no (from
// 0), split.count and split.tensors.count (of the whole set). Internal to reader.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "gguf/metadata.h"

namespace moraine::gguf {

struct SplitSet {
  std::vector<std::filesystem::path> paths;  // all shards in order; one for an ordinary file
  std::optional<uint64_t> n_tensors;         // of the set, where the first shard says so
};

// Which files belong to the first shard at `path`. kInvalidArgument where it is a later shard (the
// message names the first), kCorruptFile where name and metadata disagree.
SplitSet find_split_set(const Metadata& first, const std::filesystem::path& path);

// That shard `i` (from 0) of the set says of itself what its name says.
void check_shard(const Metadata& metadata, const SplitSet& set, size_t i);

// That all shards together hold as many tensors as the first one promised.
void check_tensor_count(const SplitSet& set, uint64_t n_found, const std::string& name);

// "dir/x", 0, 3 -> "dir/x-00001-of-00003.gguf"
std::filesystem::path shard_path(const std::filesystem::path& stem, uint32_t i, uint32_t count);

}  // namespace moraine::gguf
