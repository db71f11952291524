#include "model/model.h"

#include <fmt/format.h>

#include <moraine/error.h>
#include <charconv>
#include <set>

#include "model/arch/architectures.h"
#include "quant/format.h"

namespace moraine::model {
namespace {

constexpr int64_t kMaxRows = INT32_MAX - 7;  // of a tensor; backends round up to groups of eight

}  // namespace

plan::WeightId Tensors::bind(const std::string& name, plan::WeightRole role, Shape shape,
                             std::vector<plan::RowRange> source) {
  const gguf::TensorInfo* t = file_.find_tensor(name);
  if (!t)
    throw Error(
        ErrorCode::kCorruptFile,
        fmt::format(
            "{}: tensor {} is missing. The file is incomplete or of another variant of this architecture; "
            "download or convert it again.",
            file_.name(), name));
  const bool right = t->shape[0] == static_cast<uint64_t>(shape.cols) &&
                     t->shape[1] == static_cast<uint64_t>(shape.rows) &&
                     t->shape[2] == static_cast<uint64_t>(shape.n_experts) && t->shape[3] == 1;
  if (!right)
    throw Error(
        ErrorCode::kCorruptFile,
        fmt::format("{}: tensor {} has shape {}, but the file's metadata asks for [{}, {}{}]. Download "
                    "or convert it again.",
                    file_.name(), name, gguf::shape_string(*t), shape.cols, shape.rows,
                    shape.n_experts > 1 ? fmt::format(", {}", shape.n_experts) : ""));
  const bool plain = t->dtype == DType::kF32 || t->dtype == DType::kF16 || t->dtype == DType::kBF16;
  if (role == plan::WeightRole::kVector && !plain)
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: tensor {} is stored as {}, but must be f32, f16 or bf16.", file_.name(),
                            name, info(t->dtype).name));
  if (!quant::find(t->dtype))
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: tensor {} is stored as {}, a format that does not run here. Choose another "
                            "quantisation of the model, Q4_K_M for one.",
                            file_.name(), name, info(t->dtype).name));
  int64_t rows = int64_t{shape.rows} * shape.n_experts;
  if (rows > kMaxRows)
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: tensor {} has {} rows, more than run here.", file_.name(), name, rows));
  if (!source.empty()) {
    rows = 0;
    for (const plan::RowRange& r : source) rows += r.n;
  }
  model_.weights_.push_back(
      {name, t->dtype, role, shape.cols, static_cast<int32_t>(rows), std::move(source)});
  return static_cast<plan::WeightId>(model_.weights_.size()) - 1;
}

plan::WeightId Tensors::matrix(const std::string& name, int32_t cols, int32_t rows) {
  return bind(name, plan::WeightRole::kMatrix, {cols, rows});
}

plan::WeightId Tensors::rows_of(const std::string& name, int32_t cols, int32_t file_rows,
                                std::vector<plan::RowRange> source) {
  return bind(name, plan::WeightRole::kMatrix, {cols, file_rows}, std::move(source));
}

plan::WeightId Tensors::experts(const std::string& name, int32_t cols, int32_t rows, int32_t n_experts) {
  return experts_part(name, cols, rows, n_experts, 0, rows);
}

plan::WeightId Tensors::experts_part(const std::string& name, int32_t cols, int32_t file_rows,
                                     int32_t n_experts, int32_t first, int32_t rows) {
  if (rows % 8 != 0)
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: the experts of tensor {} have {} rows, which is no multiple of 8.",
                            file_.name(), name, rows));
  std::vector<plan::RowRange> source;
  if (rows != file_rows && int64_t{n_experts} * file_rows <= kMaxRows)  // else bind() refuses
    for (int32_t e = 0; e < n_experts; ++e) source.push_back({e * file_rows + first, rows});
  return bind(name, plan::WeightRole::kMatrix, {cols, file_rows, n_experts}, std::move(source));
}

plan::WeightId Tensors::vector(const std::string& name, int32_t n) {
  return bind(name, plan::WeightRole::kVector, {n});
}

plan::WeightId Tensors::vectors(const std::string& name, int32_t n, int32_t count) {
  return bind(name, plan::WeightRole::kVector, {n, count});
}

Hparams::Hparams(const gguf::File& file)
    : file_(file), arch_(file.metadata().get_string("general.architecture")) {}

bool Hparams::has(std::string_view key) const {
  return file_.metadata().contains(fmt::format("{}.{}", arch_, key));
}

int32_t Hparams::integer(std::string_view key, int32_t low, int32_t high) const {
  const int32_t v = file_.metadata().get_i32(fmt::format("{}.{}", arch_, key));
  if (v < low || v > high) fail(key, fmt::format("is {}, but must be from {} to {}", v, low, high));
  return v;
}

int32_t Hparams::integer_or(std::string_view key, int32_t fallback, int32_t low, int32_t high) const {
  return has(key) ? integer(key, low, high) : fallback;
}

bool Hparams::is_array(std::string_view key) const {
  const gguf::Value* v = file_.metadata().find(fmt::format("{}.{}", arch_, key));
  return v && std::holds_alternative<gguf::Array>(v->storage());
}

std::optional<std::vector<int32_t>> Hparams::by_layer(std::string_view key, int32_t n_layers, int32_t low,
                                                      int32_t high) const {
  if (!has(key)) return std::nullopt;
  if (!is_array(key)) return std::vector<int32_t>(n_layers, integer(key, low, high));
  auto values = file_.metadata().get_numbers<int32_t>(fmt::format("{}.{}", arch_, key));
  if (values.size() < static_cast<size_t>(n_layers))
    fail(key, fmt::format("has {} values for {} layers", values.size(), n_layers));
  values.resize(n_layers);  // what follows belongs to blocks that predict further tokens
  for (const int32_t v : values)
    if (v < low || v > high) fail(key, fmt::format("holds {}, but must be from {} to {}", v, low, high));
  return values;
}

std::optional<std::vector<bool>> Hparams::flags_by_layer(std::string_view key, int32_t n_layers) const {
  const gguf::Value* v = file_.metadata().find(fmt::format("{}.{}", arch_, key));
  if (!v) return std::nullopt;
  if (const bool* all = v->as<bool>()) return std::vector<bool>(n_layers, *all);
  const gguf::Array* array = v->as<gguf::Array>();
  if (const auto* flags = array ? array->as<std::vector<bool>>() : nullptr) {
    if (flags->size() < static_cast<size_t>(n_layers))
      fail(key, fmt::format("has {} values for {} layers", flags->size(), n_layers));
    return std::vector<bool>(flags->begin(), flags->begin() + n_layers);
  }
  const auto numbers = by_layer(key, n_layers, 0, 1);
  return std::vector<bool>(numbers->begin(), numbers->end());
}

float Hparams::positive(std::string_view key) const {
  const float v = file_.metadata().get_f32(fmt::format("{}.{}", arch_, key));
  if (!(v > 0)) fail(key, fmt::format("is {}, but must be above 0", v));
  return v;
}

float Hparams::number_or(std::string_view key, float fallback, float low, float high) const {
  const float v = file_.metadata().get_f32(fmt::format("{}.{}", arch_, key), fallback);
  if (!(v >= low && v <= high)) fail(key, fmt::format("is {}, but must be from {} to {}", v, low, high));
  return v;
}

float Hparams::positive_or(std::string_view key, float fallback) const {
  return has(key) ? positive(key) : fallback;
}

bool Hparams::flag_or(std::string_view key, bool fallback) const {
  return file_.metadata().get_bool(fmt::format("{}.{}", arch_, key), fallback);
}

std::string Hparams::text_or(std::string_view key, std::string_view fallback) const {
  return std::string(file_.metadata().get_string(fmt::format("{}.{}", arch_, key), fallback));
}

int32_t Hparams::n_vocab() const {
  const gguf::TensorInfo& t = file_.tensor("token_embd.weight");
  if (t.shape[1] == 0 || t.shape[1] > (1u << 24))
    throw Error(
        ErrorCode::kCorruptFile,
        fmt::format("{}: token_embd.weight has {} rows, which is no vocabulary.", file_.name(), t.shape[1]));
  return static_cast<int32_t>(t.shape[1]);
}

void Hparams::unsupported(std::string_view key, std::string_view cause) const {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: {}.{} {}.", file_.name(), arch_, key, cause));
}

void Hparams::fail(std::string_view key, std::string_view cause) const {
  file_.metadata().throw_bad(fmt::format("{}.{}", arch_, key), cause);
}

void Model::check_unused(const gguf::File& file) {
  std::set<std::string_view> bound;
  for (const plan::Weight& w : weights_) bound.insert(w.name);
  std::vector<std::string_view> ignored;
  for (const gguf::TensorInfo& t : file.tensors()) {
    const std::string_view name = t.name;
    if (bound.contains(name) || name.ends_with("attn_rot_embd.weight"))
      continue;  // what rope computes anyway
    int32_t block = -1;
    if (name.starts_with("blk.")) std::from_chars(name.data() + 4, name.data() + name.size(), block);
    if (block >= n_layers_) continue;  // of blocks that predict further tokens
    // Some files carry an encoder of images or sound as well, which text does not pass.
    const bool is_encoder = name.starts_with("v.") || name.starts_with("mm.") || name.starts_with("a.");
    if (block >= 0 || (name.ends_with(".bias") && !is_encoder))
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("{}: tensor {} has no place in this program's {}: the model is of a variant that "
                      "does not run here yet, and would answer wrongly without it.",
                      file.name(), name, file.metadata().get_string("general.architecture")));
    ignored.push_back(name);
  }
  if (!ignored.empty())
    notes_.push_back(fmt::format("The file has {} tensor{} that nothing uses, such as {}.", ignored.size(),
                                 ignored.size() == 1 ? "" : "s", ignored.front()));
}

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> all = {
      {"gemma3", create_gemma3},       {"llama", create_llama},   {"mistral3", create_llama},
      {"qwen2", create_qwen2},         {"qwen3", create_qwen3},   {"qwen3moe", create_qwen3moe},
      {"qwen3next", create_qwen3next}, {"qwen35", create_qwen35}, {"qwen35moe", create_qwen35moe}};
  return all;
}

std::unique_ptr<Model> create_model(const gguf::File& file) {
  const std::string_view name = file.metadata().get_string("general.architecture");
  std::vector<std::string_view> known;
  for (const Architecture& a : architectures()) {
    if (a.name == name) {
      std::unique_ptr<Model> model = a.create(file);
      model->check_unused(file);
      return model;
    }
    known.push_back(a.name);
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: the architecture \"{}\" does not run here yet. Those that do: {}.",
                          file.name(), name, fmt::join(known, ", ")));
}

}  // namespace moraine::model
