#include "engine/model_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

#include "tokenizer/load.h"

namespace moraine::engine {
namespace {

// general.file_type, as quantising tools write it.
const char* file_type_name(uint32_t id) {
  switch (id) {
    case 0:
      return "F32";
    case 1:
      return "F16";
    case 2:
      return "Q4_0";
    case 3:
      return "Q4_1";
    case 7:
      return "Q8_0";
    case 8:
      return "Q5_0";
    case 9:
      return "Q5_1";
    case 10:
      return "Q2_K";
    case 11:
      return "Q3_K_S";
    case 12:
      return "Q3_K_M";
    case 13:
      return "Q3_K_L";
    case 14:
      return "Q4_K_S";
    case 15:
      return "Q4_K_M";
    case 16:
      return "Q5_K_S";
    case 17:
      return "Q5_K_M";
    case 18:
      return "Q6_K";
    case 25:
      return "IQ4_NL";
    case 30:
      return "IQ4_XS";
    case 32:
      return "BF16";
    case 38:
      return "MXFP4";
    default:
      return nullptr;
  }
}

// Where the file does not say: the type that most bytes have.
std::string dominant_type(const gguf::File& file) {
  std::map<DType, uint64_t> bytes;
  for (const auto& t : file.tensors()) bytes[t.dtype] += t.size_bytes;
  DType best = DType::kF32;
  uint64_t most = 0;
  for (const auto& [type, n] : bytes)
    if (n > most) best = type, most = n;
  std::string name = info(best).name;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  return name;
}

std::string size_label(uint64_t n_params) {
  if (n_params >= 1'000'000'000) return fmt::format("{:.3g}B", n_params / 1e9);
  return fmt::format("{:.0f}M", n_params / 1e6);
}

}  // namespace

ModelInfo describe_model(const gguf::File& file, const model::Model& model, const std::string& path) {
  const gguf::Metadata& meta = file.metadata();
  ModelInfo i;
  i.path = path;
  i.file_name = std::filesystem::path(path).filename().string();
  i.name = std::string(meta.get_string("general.name", i.file_name));
  i.architecture = std::string(meta.get_string("general.architecture"));
  for (const auto& t : file.tensors()) i.n_params += t.n_values();
  i.size_label = std::string(meta.get_string("general.size_label", size_label(i.n_params)));
  const char* type =
      meta.contains("general.file_type") ? file_type_name(meta.get_u32("general.file_type")) : nullptr;
  i.quantization = type ? type : dominant_type(file);
  i.size_bytes = file.tensor_bytes();
  i.n_ctx_train = model.n_ctx_train();
  i.n_vocab = model.n_vocab();
  i.n_embd = model.n_embd();
  i.n_layers = model.n_layers();
  i.notes = model.notes();

  ChatTemplateTexts templates = load_chat_templates(meta);
  i.chat_templates = std::move(templates.texts);
  i.chat_template_names = std::move(templates.names);

  auto real = [&](const char* key) { return meta.find<float>(std::string("general.sampling.") + key); };
  auto integer = [&](const char* key) { return meta.find<int32_t>(std::string("general.sampling.") + key); };
  i.sampling.temperature = real("temp");
  i.sampling.top_p = real("top_p");
  i.sampling.min_p = real("min_p");
  i.sampling.top_k = integer("top_k");
  i.sampling.repeat_penalty = real("penalty_repeat");
  i.sampling.repeat_last_n = integer("penalty_last_n");
  i.sampling.presence_penalty = real("penalty_present");
  i.sampling.frequency_penalty = real("penalty_freq");
  return i;
}

}  // namespace moraine::engine
