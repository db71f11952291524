#include "hub/ollama.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

namespace moraine::hub {
namespace {

constexpr size_t kMaxManifestBytes = 256 << 10;
constexpr const char* kModelLayer = "application/vnd.ollama.image.model";

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

}  // namespace

std::optional<std::string> read_ollama_manifest(const std::filesystem::path& manifest) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(manifest, error)) return {};
  std::ifstream in(manifest, std::ios::binary);
  std::string text(kMaxManifestBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kMaxManifestBytes) return {};
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("layers") || !json["layers"].is_array()) return {};
  for (const nlohmann::json& layer : json["layers"]) {
    if (!layer.is_object() || text_of(layer, "mediaType") != kModelLayer) continue;
    const std::string digest = text_of(layer, "digest");
    constexpr std::string_view kPrefix = "sha256:";
    if (!digest.starts_with(kPrefix) || digest.size() != kPrefix.size() + 64 ||
        !is_hex(std::string_view(digest).substr(kPrefix.size())))
      return {};
    return "sha256-" + digest.substr(kPrefix.size());
  }
  return {};
}

}  // namespace moraine::hub
