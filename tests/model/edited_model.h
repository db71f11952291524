// Test support: a model file that differs from another in some keys and tensors.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gguf/reader.h"
#include "gguf/tensor_reader.h"
#include "gguf/writer.h"
#include "quant/format.h"

namespace moraine::testing {

struct EditedTensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  std::vector<std::byte> bytes;
};
using EditTensors = std::function<void(std::vector<EditedTensor>&)>;

// The copy is deleted with this object.
class EditedModel {
 public:
  // Keys without a value are dropped, new ones are added.
  EditedModel(const std::filesystem::path& source,
              const std::map<std::string, std::optional<gguf::Value>>& keys, const EditTensors& edit = {}) {
    const gguf::File file = gguf::File::open(source);
    const gguf::TensorReader reader(file);
    gguf::Metadata meta;
    for (const auto& e : file.metadata().entries())
      if (!keys.contains(e.key)) meta.add(e.key, e.value);
    for (const auto& [key, value] : keys)
      if (value) meta.add(key, *value);
    std::vector<EditedTensor> tensors;
    for (const auto& t : file.tensors())
      tensors.push_back({t.name, t.dtype, {t.shape.begin(), t.shape.begin() + t.n_dims}, reader.read_all(t)});
    if (edit) edit(tensors);
    gguf::Writer writer(std::move(meta));
    for (const auto& t : tensors) writer.add_tensor(t.name, t.dtype, t.shape, t.bytes);
    static int serial = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("moraine-edited-" + std::to_string(getpid()) + "-" + std::to_string(++serial) + ".gguf");
    writer.write(path_);
  }
  ~EditedModel() { std::filesystem::remove(path_); }
  EditedModel(const EditedModel&) = delete;
  EditedModel& operator=(const EditedModel&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline EditedTensor f32_tensor(const std::string& name, const std::vector<float>& values) {
  EditedTensor t{name, DType::kF32, {values.size()}, std::vector<std::byte>(values.size() * 4)};
  std::memcpy(t.bytes.data(), values.data(), t.bytes.size());
  return t;
}

// Packs an F32 tensor as another format.
inline void repack(EditedTensor& t, DType to) {
  const DTypeInfo& i = info(to);
  const size_t n_blocks = t.bytes.size() / 4 / i.block_len;
  std::vector<std::byte> packed(n_blocks * i.block_bytes);
  quant::find(to)->pack_blocks(reinterpret_cast<const float*>(t.bytes.data()), n_blocks,
                               reinterpret_cast<uint8_t*>(packed.data()));
  t.bytes = std::move(packed);
  t.dtype = to;
}

}  // namespace moraine::testing
