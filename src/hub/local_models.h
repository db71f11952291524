// Models that are on this disk already, whoever fetched them: the hub's cache, LM Studio, Ollama, llama.cpp,
// and folders of GGUF files. They are used where they are; nothing is copied or changed. Names of files and
// manifests are hostile: reads are bounded, and what is not understood is left out. Which of them a text
// means: model_name.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace moraine::hub {

enum class Origin : uint8_t { kFolder, kHub, kLmStudio, kOllama, kLlamaCpp };
const char* to_string(Origin origin) noexcept;  // "hub cache", "LM Studio", ...

// Where to look; each may be missing. In the order in which equals are preferred.
struct Roots {
  std::vector<std::filesystem::path> folders;    // of GGUF files themselves, such as models/
  std::filesystem::path hub;                     // holds models--USER--REPO
  std::vector<std::filesystem::path> lm_studio;  // hold USER/REPO/FILE.gguf
  std::vector<std::filesystem::path> ollama;     // hold manifests/ and blobs/
  std::vector<std::filesystem::path> llama_cpp;  // hold FILE.gguf
};

struct LocalModel {
  std::string name;          // "user/repo", "qwen3" (Ollama), or the file's name without quantisation
  std::string quantization;  // "Q4_K_M"; of Ollama: its tag ("8b"); empty where the name does not say
  Origin origin = Origin::kFolder;
  std::filesystem::path path;           // what to open: the file, or the first of a set; not resolved
  uint64_t size_bytes = 0;              // of all its files
  uint32_t n_files = 1, n_missing = 0;  // of a set; missing ones were not found beside the first

  std::string full_name() const { return quantization.empty() ? name : name + ":" + quantization; }
};

// Sorted by origin as above, then by name. A model that two names lead to (a link, two snapshots of one
// blob) comes once. Folders that cannot be read count as empty.
std::vector<LocalModel> find_local_models(const Roots& roots);

// The rest of a split set beside its first file; one where `first` is no set's.
std::vector<std::filesystem::path> files_of_set(const std::filesystem::path& first);

}  // namespace moraine::hub
