// Writes GGUF version 3 files: metadata of every type and tensors from memory or from a callback.
// For tests, random models and conversions; what it writes, reader.h reads back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "gguf/metadata.h"
#include "tensor/dtype.h"

namespace moraine::gguf {

class Writer {
 public:
  // Fills `out` with the tensor's bytes from `offset` on. Called in ascending order, without gaps,
  // for at most kFillBytes at a time.
  using Fill = std::function<void(uint64_t offset, std::span<std::byte> out)>;
  static constexpr size_t kFillBytes = 1u << 20;

  // The key general.alignment, where given, sets the alignment of the tensor data (bytes; 32 without).
  // Throws kInvalidArgument where it, or a key, or a value breaks the format's bounds (limits.h).
  explicit Writer(Metadata metadata);

  // Shape innermost first. kInvalidArgument: a name twice or too long, an impossible shape, bytes
  // of another size than the shape's. `bytes` is borrowed until the file is written.
  void add_tensor(std::string name, DType dtype, std::span<const uint64_t> shape,
                  std::span<const std::byte> bytes);
  void add_tensor(std::string name, DType dtype, std::span<const uint64_t> shape, Fill fill);

  // Writes beside `path` and renames at the end: no reader ever sees half a file. Throws kIo.
  void write(const std::filesystem::path& path) const;
  std::vector<std::byte> to_bytes() const;

 private:
  using Sink = std::function<void(std::span<const std::byte>)>;
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<uint64_t> shape;
    uint64_t size_bytes;
    uint64_t offset;  // from the start of the data section
    Fill fill;
  };
  std::string header() const;
  void write_to(const Sink& sink) const;

  Metadata metadata_;
  uint64_t alignment_;
  std::vector<Tensor> tensors_;
  uint64_t data_bytes_ = 0;  // up to and including the last tensor's padding
  std::map<std::string, size_t, std::less<>> tensor_index_;
};

}  // namespace moraine::gguf
