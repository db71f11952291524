#include "model_path.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/options/parser.h"
#include "base/options/suggest.h"

namespace moraine::app {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostListed = 5;
constexpr size_t kMostEntries = 10000;  // of a folder that are looked at

bool is_further_shard(const std::string& name) {
  const size_t of = name.rfind("-of-");
  return of != std::string::npos && of >= 5 && name.substr(of - 5, 5) != "00001" &&
         name.find_first_not_of("0123456789", of - 5) == of;
}

void add_models(const fs::path& folder, std::vector<std::string>& out) {
  std::error_code error;
  size_t seen = 0;
  for (fs::directory_iterator it(folder.empty() ? "." : folder, error), end;
       !error && it != end && seen < kMostEntries; it.increment(error), ++seen) {
    const std::string name = it->path().filename().string();
    if (it->path().extension() == ".gguf" && !is_further_shard(name)) out.push_back((folder / name).string());
  }
}

}  // namespace

std::vector<std::string> models_nearby(const std::string& folder) {
  std::vector<std::string> found;
  add_models(folder, found);
  if (folder.empty()) add_models("models", found);
  std::sort(found.begin(), found.end());
  return found;
}

void require_model(const Settings& s, const char* command) {
  const std::string& path = s.engine.model_path;
  if (path.empty()) {
    std::string message = fmt::format("no model was named: moraine {} MODEL.gguf", command);
    if (const auto near = models_nearby(""); !near.empty())
      message += fmt::format("; here is {}", near.front());
    throw options::UsageError(message);
  }
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) {
    const auto inside = models_nearby(path);
    throw Error(ErrorCode::kInvalidArgument,
                inside.empty()
                    ? fmt::format("{} is a folder without a .gguf file.", path)
                    : fmt::format("{} is a folder; name the file, such as {}.", path, inside.front()));
  }
  if (fs::exists(status)) return;
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
    throw Error(ErrorCode::kIo, fmt::format("{} cannot be opened: {}.", path, error.message()));

  std::string message = fmt::format("There is no file {}.", path);
  const fs::path parent = fs::path(path).parent_path();
  std::vector<std::string> near = models_nearby(fs::is_directory(parent, error) ? parent.string() : "");
  if (near.empty()) near = models_nearby("");
  if (near.empty()) {
    message += " No .gguf file is in this folder or in models/ either.";
  } else {
    std::vector<std::string> names;
    for (const std::string& n : near) names.push_back(fs::path(n).filename().string());
    const std::string best = options::nearest(fs::path(path).filename().string(), names);
    const auto at = std::find(names.begin(), names.end(), best);
    if (at != names.end()) {
      message += fmt::format(" Did you mean {}?", near[static_cast<size_t>(at - names.begin())]);
    } else {
      near.resize(std::min(near.size(), kMostListed));
      message += fmt::format(" Nearby: {}.", fmt::join(near, ", "));
    }
  }
  throw Error(ErrorCode::kNotFound, message);
}

std::string read_text_file(const std::string& path, const char* option, size_t max_bytes) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  if (in) {
    text.resize(max_bytes + 1);
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(in.gcount()));
  }
  if (!in.eof())
    throw Error(
        in.is_open() && text.size() > max_bytes ? ErrorCode::kInvalidArgument : ErrorCode::kIo,
        text.size() > max_bytes
            ? fmt::format("The file of {}, {}, is larger than {} bytes.", option, path, max_bytes)
            : fmt::format("The file of {}, {}, cannot be read: {}.", option, path, std::strerror(errno)));
  return text;
}

}  // namespace moraine::app
