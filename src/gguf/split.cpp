// Names and keys of split sets, checked against each other.
#include "gguf/split.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <string>
#include <string_view>

#include "gguf/limits.h"

namespace moraine::gguf {
namespace {

struct ShardName {
  std::string stem;  // directory and name before "-00001-of-00003.gguf"
  uint32_t number;   // from 1
  uint32_t count;
};

bool parse_five_digits(std::string_view text, uint32_t& out) {
  out = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + static_cast<uint32_t>(c - '0');
  }
  return text.size() == 5;
}

std::optional<ShardName> parse_shard_name(const std::filesystem::path& path) {
  constexpr std::string_view kPattern = "-00001-of-00003.gguf";
  const std::string& text = path.native();
  if (text.size() < kPattern.size()) return std::nullopt;
  const std::string_view tail = std::string_view(text).substr(text.size() - kPattern.size());
  ShardName name{text.substr(0, text.size() - kPattern.size()), 0, 0};
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf" ||
      !parse_five_digits(tail.substr(1, 5), name.number) ||
      !parse_five_digits(tail.substr(10, 5), name.count))
    return std::nullopt;
  return name;
}

}  // namespace

std::filesystem::path shard_path(const std::filesystem::path& stem, uint32_t i, uint32_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem.native(), i + 1, count);
}

SplitSet find_split_set(const Metadata& first, const std::filesystem::path& path) {
  const uint32_t count = first.get_u32("split.count", 1);
  if (count <= 1) return {{path}, std::nullopt};
  if (count > kMaxShards)
    first.throw_bad("split.count", fmt::format("is {}, more than the limit of {}", count, kMaxShards));
  const uint32_t number = first.get_u32("split.no", 0);
  const std::optional<ShardName> name = parse_shard_name(path);
  if (!name)
    first.throw_bad(
        "split.count",
        fmt::format("says that this is one of {} shards, but the file's name does not end in "
                    "-00001-of-{:05}.gguf, so that the others cannot be found. Give it its name back",
                    count, count));
  if (name->count != count || name->number != number + 1)
    first.throw_bad("split.no",
                    fmt::format("and split.count say shard {} of {}, but the file's name says {} of {}. "
                                "Give it its name back",
                                uint64_t{number} + 1, count, name->number, name->count));
  if (number != 0)
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("{} is shard {} of {}. Give the first one, {}: the others are found by their names.",
                    first.source(), number + 1, count,
                    escape_text(shard_path(name->stem, 0, count).native(), 4096)));
  SplitSet set;
  for (uint32_t i = 0; i < count; ++i) set.paths.push_back(shard_path(name->stem, i, count));
  set.n_tensors = first.find<uint64_t>("split.tensors.count");
  return set;
}

void check_shard(const Metadata& metadata, const SplitSet& set, size_t i) {
  if (const auto count = metadata.get_u32("split.count"); count != set.paths.size())
    metadata.throw_bad("split.count",
                       fmt::format("is {}, but the first shard says {}: the shards do not belong to one "
                                   "set",
                                   count, set.paths.size()));
  if (const auto number = metadata.get_u32("split.no"); number != i)
    metadata.throw_bad(
        "split.no", fmt::format("is {}, but its file name stands for {}: the shard was renamed", number, i));
  const auto n_tensors = metadata.find<uint64_t>("split.tensors.count");
  if (set.n_tensors && n_tensors && *n_tensors != *set.n_tensors)
    metadata.throw_bad("split.tensors.count",
                       fmt::format("is {}, but the first shard says {}: the shards do not belong to one set",
                                   *n_tensors, *set.n_tensors));
}

void check_tensor_count(const SplitSet& set, uint64_t n_found, const std::string& name) {
  if (set.n_tensors && *set.n_tensors != n_found)
    throw Error(
        ErrorCode::kCorruptFile,
        fmt::format(
            "{}: split.tensors.count promises {} tensors, but the {} shards hold {}. Download the set "
            "again.",
            name, *set.n_tensors, set.paths.size(), n_found));
}

}  // namespace moraine::gguf
