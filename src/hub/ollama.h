// What one of Ollama's manifests names. Internal to local_models.cpp, and the only reader of their JSON.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace moraine::hub {

// "sha256-<64 hex digits>", the file in blobs/ that holds the model; nothing where the manifest cannot be
// read, names no model, or names anything but such a digest.
std::optional<std::string> read_ollama_manifest(const std::filesystem::path& manifest);

}  // namespace moraine::hub
