#include "hub/local_models.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <set>

#include "hub/ollama.h"
#include "hub/quantization.h"

namespace moraine::hub {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMaxEntries = 20000;  // looked at below one root
constexpr int kMaxDepth = 5;
constexpr size_t kMaxShards = 1000;

bool is_plain_text(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// The names in a folder, sorted; empty where it cannot be read.
std::vector<std::string> entries_of(const fs::path& folder, size_t& budget) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder.empty() ? "." : folder, error), end;
       !error && it != end && budget > 0; it.increment(error), --budget) {
    std::string name = it->path().filename().string();
    if (!name.starts_with(".") && is_plain_text(name)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A model at `path`; nothing where it is none, or not the first of its set.
std::optional<LocalModel> model_at(const fs::path& path, Origin origin, std::string name) {
  const std::string file = path.filename().string();
  if (!is_model_file(file)) return {};
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return {};
  const auto shard = shard_of(file);
  if (shard && shard->number != 1) return {};
  LocalModel m;
  m.name = name.empty() ? base_name_of(file) : std::move(name);
  m.quantization = quantization_of(file);
  m.origin = origin;
  m.path = path;
  const std::vector<fs::path> files = files_of_set(path);
  m.n_files = static_cast<uint32_t>(files.size());
  for (const fs::path& f : files) {
    const uint64_t size = fs::file_size(f, error);
    if (error)
      ++m.n_missing;
    else
      m.size_bytes += size;
  }
  return m;
}

void add_files_below(const fs::path& folder, int depth, Origin origin, const std::string& name,
                     size_t& budget, std::vector<LocalModel>& out) {
  for (const std::string& entry : entries_of(folder, budget)) {
    const fs::path path = folder / entry;
    std::error_code error;
    if (auto m = model_at(path, origin, name))
      out.push_back(std::move(*m));
    else if (depth > 0 && fs::is_directory(path, error) && !fs::is_symlink(path, error))
      add_files_below(path, depth - 1, origin, name, budget, out);
  }
}

void add_hub(const fs::path& root, std::vector<LocalModel>& out) {
  size_t budget = kMaxEntries;
  for (const std::string& entry : entries_of(root, budget)) {
    constexpr std::string_view kPrefix = "models--";
    if (!entry.starts_with(kPrefix)) continue;
    std::string name = entry.substr(kPrefix.size());
    if (const size_t at = name.find("--"); at != std::string::npos)
      name = name.substr(0, at) + '/' + name.substr(at + 2);
    // What `main` says comes first, so that of two snapshots with one quantisation the current one counts.
    std::ifstream ref(root / entry / "refs" / "main");
    std::string main(64, '\0');
    ref.read(main.data(), static_cast<std::streamsize>(main.size()));
    main.resize(static_cast<size_t>(ref.gcount()));
    main.erase(std::find_if_not(main.begin(), main.end(),
                                [](char c) { return std::isxdigit(static_cast<unsigned char>(c)); }),
               main.end());
    std::vector<std::string> snapshots = entries_of(root / entry / "snapshots", budget);
    std::stable_partition(snapshots.begin(), snapshots.end(),
                          [&](const std::string& s) { return s == main; });
    std::set<std::string> seen;
    for (const std::string& snapshot : snapshots) {
      std::vector<LocalModel> found;
      add_files_below(root / entry / "snapshots" / snapshot, kMaxDepth, Origin::kHub, name, budget, found);
      for (LocalModel& m : found)
        if (seen.insert(m.quantization + "/" + m.path.filename().string()).second)
          out.push_back(std::move(m));
    }
  }
}

void add_lm_studio(const fs::path& root, std::vector<LocalModel>& out) {
  size_t budget = kMaxEntries;
  for (const std::string& user : entries_of(root, budget))
    for (const std::string& repo : entries_of(root / user, budget))
      add_files_below(root / user / repo, 2, Origin::kLmStudio, user + "/" + repo, budget, out);
}

void add_ollama(const fs::path& root, std::vector<LocalModel>& out) {
  size_t budget = kMaxEntries;
  const fs::path manifests = root / "manifests";
  for (const std::string& registry : entries_of(manifests, budget))
    for (const std::string& user : entries_of(manifests / registry, budget))
      for (const std::string& model : entries_of(manifests / registry / user, budget))
        for (const std::string& tag : entries_of(manifests / registry / user / model, budget)) {
          const auto blob = read_ollama_manifest(manifests / registry / user / model / tag);
          if (!blob) continue;
          LocalModel m;
          m.name = user == "library" ? model : user + "/" + model;
          m.quantization = tag;
          m.origin = Origin::kOllama;
          m.path = root / "blobs" / *blob;
          std::error_code error;
          if (!fs::is_regular_file(m.path, error)) continue;
          m.size_bytes = fs::file_size(m.path, error);
          if (!error) out.push_back(std::move(m));
        }
}

}  // namespace

const char* to_string(Origin origin) noexcept {
  switch (origin) {
    case Origin::kFolder:
      return "folder";
    case Origin::kHub:
      return "hub cache";
    case Origin::kLmStudio:
      return "LM Studio";
    case Origin::kOllama:
      return "Ollama";
    case Origin::kLlamaCpp:
      return "llama.cpp";
  }
  return "";
}

std::vector<fs::path> files_of_set(const fs::path& first) {
  const auto shard = shard_of(first.filename().string());
  if (!shard || shard->count > kMaxShards) return {first};
  std::vector<fs::path> files;
  for (uint32_t i = 1; i <= shard->count; ++i) {
    char tail[32];
    std::snprintf(tail, sizeof tail, "-%05u-of-%05u.gguf", i, shard->count);
    files.push_back(first.parent_path() / (shard->stem + tail));
  }
  return files;
}

std::vector<LocalModel> find_local_models(const Roots& roots) {
  std::vector<LocalModel> found;
  size_t budget = kMaxEntries;
  for (const fs::path& folder : roots.folders) add_files_below(folder, 0, Origin::kFolder, "", budget, found);
  if (!roots.hub.empty()) add_hub(roots.hub, found);
  for (const fs::path& root : roots.lm_studio) add_lm_studio(root, found);
  for (const fs::path& root : roots.ollama) add_ollama(root, found);
  budget = kMaxEntries;
  for (const fs::path& root : roots.llama_cpp) add_files_below(root, 0, Origin::kLlamaCpp, "", budget, found);

  std::set<std::string> seen;
  std::erase_if(found, [&](const LocalModel& m) {
    std::error_code error;
    const fs::path real = fs::canonical(m.path, error);
    // Names for one blob (Ollama's "latest" and "8b", two files of a repository) are all kept: people know a
    // model by either.
    const std::string key = (error ? m.path : real).string() +
                            (m.origin == Origin::kOllama || m.origin == Origin::kHub ? m.full_name() : "");
    return !seen.insert(key).second;
  });
  std::stable_sort(found.begin(), found.end(), [](const LocalModel& a, const LocalModel& b) {
    return std::tuple(a.origin, upper(a.name), a.size_bytes) <
           std::tuple(b.origin, upper(b.name), b.size_bytes);
  });
  return found;
}

}  // namespace moraine::hub
