// Puts the shards of a set together into one File. One shard's bytes: parser.cpp; their names: split.cpp.
#include "gguf/reader.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <system_error>
#include <utility>

#include "gguf/parser.h"
#include "gguf/split.h"

namespace moraine::gguf {
namespace {

std::string shown(const std::filesystem::path& path) { return escape_text(path.native(), 4096); }

}  // namespace

std::string shape_string(const TensorInfo& t) {
  return fmt::format("[{}]", fmt::join(t.shape.begin(), t.shape.begin() + t.n_dims, ", "));
}

File File::open(const std::filesystem::path& path) {
  File file;
  const auto add = [&](const std::filesystem::path& shard_path) {
    const FileSource source(shard_path);
    ParsedFile parsed = parse_file(source, shown(shard_path));
    file.add_tensors(std::move(parsed.tensors),
                     {shard_path, source.size_bytes(), parsed.data_offset, source.identity()});
    return parsed;
  };
  ParsedFile first = add(path);
  file.version_ = first.version;
  file.alignment_ = first.alignment;
  file.metadata_ = std::move(first.metadata);
  const SplitSet set = find_split_set(file.metadata_, path);
  for (size_t i = 1; i < set.paths.size(); ++i) {
    if (std::error_code ignored; !std::filesystem::exists(set.paths[i], ignored))
      throw Error(
          ErrorCode::kNotFound,
          fmt::format("{} is missing: shard {} of {} that belong to {}. Download it into the same directory.",
                      shown(set.paths[i]), i + 1, set.paths.size(), file.name()));
    check_shard(add(set.paths[i]).metadata, set, i);
  }
  check_tensor_count(set, file.tensors_.size(), file.name());
  return file;
}

File File::parse(std::span<const std::byte> bytes, std::string name) {
  ParsedFile parsed = parse_file(MemorySource(bytes), name);
  if (parsed.metadata.get_u32("split.count", 1) > 1)
    parsed.metadata.throw_bad("split.count", "is above 1, but shards of a set can be read from disk only");
  File file;
  file.version_ = parsed.version;
  file.alignment_ = parsed.alignment;
  file.metadata_ = std::move(parsed.metadata);
  file.add_tensors(std::move(parsed.tensors), {{}, bytes.size(), parsed.data_offset, {}});
  return file;
}

void File::add_tensors(std::vector<TensorInfo> tensors, Shard shard) {
  for (TensorInfo& t : tensors) {
    t.shard = static_cast<uint32_t>(shards_.size());
    const auto [it, is_new] = tensor_index_.emplace(t.name, tensors_.size());
    if (!is_new)
      throw Error(ErrorCode::kCorruptFile,
                  fmt::format("The tensor '{}' is both in {} and in {}: the shards do not belong to one set.",
                              escape_text(t.name), shown(shards_[tensors_[it->second].shard].path),
                              shown(shard.path)));
    tensors_.push_back(std::move(t));
  }
  shards_.push_back(std::move(shard));
}

uint64_t File::size_bytes() const noexcept {
  uint64_t sum = 0;
  for (const Shard& s : shards_) sum += s.size_bytes;
  return sum;
}

uint64_t File::tensor_bytes() const noexcept {
  uint64_t sum = 0;
  for (const TensorInfo& t : tensors_) sum += t.size_bytes;
  return sum;
}

const TensorInfo* File::find_tensor(std::string_view name) const noexcept {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

const TensorInfo& File::tensor(std::string_view name) const {
  if (const TensorInfo* t = find_tensor(name)) return *t;
  throw Error(
      ErrorCode::kCorruptFile,
      fmt::format("{}: the tensor '{}' is missing. The file was made for another program or by an incomplete "
                  "conversion; use another conversion of the model.",
                  this->name(), escape_text(name)));
}

}  // namespace moraine::gguf
