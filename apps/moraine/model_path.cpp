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
#include "hub/model_name.h"
#include "hub/quantization.h"
#include "hub_session.h"
#include "model_places.h"

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

namespace {

// What a person may have meant by a text that names nothing; sentences.
std::string suggestion(const std::string& text, std::span<const hub::LocalModel> models) {
  std::vector<std::string> names, words;
  for (const hub::LocalModel& m : models) {
    const std::string full = m.full_name();
    for (const std::string& form :
         {full, m.name, full.substr(full.rfind('/') + 1), m.name.substr(m.name.rfind('/') + 1),
          m.path.filename().string(),
          m.name.substr(m.name.rfind('/') + 1, m.name.find('-') - m.name.rfind('/') - 1)}) {
      words.push_back(hub::upper(form));
      names.push_back(full);
    }
  }
  const std::string best = options::nearest(hub::upper(fs::path(text).filename().string()), words);
  const auto at = std::find(words.begin(), words.end(), best);
  if (at != words.end())
    return fmt::format(" Did you mean {}?", names[static_cast<size_t>(at - words.begin())]);
  hub::RepoName repo;
  if (hub::parse_repo_name(text, repo)) return fmt::format(" To fetch it: moraine pull {}", text);
  if (models.empty()) return " No model is on this disk yet; to fetch one: moraine pull USER/REPO";
  names.clear();
  for (const hub::LocalModel& m : models.first(std::min(models.size(), kMostListed)))
    names.push_back(m.full_name());
  return fmt::format(" There {} {}{}; to fetch another: moraine pull USER/REPO",
                     models.size() == 1 ? "is" : "are", fmt::join(names, ", "),
                     models.size() > kMostListed ? ", ..." : "");
}

// A GGUF file beside the one that is missing, with a name much like it; empty: none.
std::string similar_file(const std::string& path) {
  std::error_code error;
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty() && !fs::is_directory(parent, error)) return "";
  const std::vector<std::string> near = models_nearby(parent.string());
  std::vector<std::string> names;
  for (const std::string& n : near) names.push_back(fs::path(n).filename().string());
  const std::string best = options::nearest(fs::path(path).filename().string(), names);
  const auto at = std::find(names.begin(), names.end(), best);
  return at == names.end() ? "" : near[static_cast<size_t>(at - names.begin())];
}

hub::LocalModel find_model(const std::string& text, const Invocation& invocation) {
  std::error_code error;
  const fs::file_status status = fs::status(text, error);
  if (fs::is_directory(status)) {
    const auto inside = models_nearby(text);
    throw Error(ErrorCode::kInvalidArgument,
                inside.empty()
                    ? fmt::format("{} is a folder without a .gguf file.", text)
                    : fmt::format("{} is a folder; name the file, such as {}.", text, inside.front()));
  }
  if (fs::exists(status)) {
    hub::LocalModel m;
    m.path = text;
    return m;
  }
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory &&
      error != std::errc::filename_too_long)
    throw Error(ErrorCode::kIo, fmt::format("{} cannot be opened: {}.", text, error.message()));

  const bool is_path = text.ends_with(".gguf") || text.starts_with("/") || text.starts_with(".");
  if (const std::string similar = is_path ? similar_file(text) : ""; !similar.empty())
    throw Error(ErrorCode::kNotFound, fmt::format("There is no file {}. Did you mean {}?", text, similar));
  const std::vector<hub::LocalModel> all = hub::find_local_models(model_roots(invocation.env));
  const std::vector<hub::LocalModel> found = hub::find_models(text, all);
  if (found.empty()) {
    throw Error(ErrorCode::kNotFound, is_path
                                          ? fmt::format("There is no file {}.{}", text, suggestion(text, all))
                                          : fmt::format("No file and no model on this disk is called {}.{}",
                                                        text, suggestion(text, all)));
  }
  if (found.size() > 1) {
    std::vector<std::string> names;
    for (const hub::LocalModel& m : found)
      names.push_back(fmt::format("  {}  ({}, {})", m.full_name(), size_text(m.size_bytes),
                                  short_path(m.path, invocation.env)));
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} may be any of these; say which:\n{}", text, fmt::join(names, "\n")));
  }
  if (found.front().n_missing > 0)
    throw Error(
        ErrorCode::kNotFound,
        fmt::format("Of {} {} of {} files are missing beside {}. To fetch what is missing: moraine pull {}",
                    found.front().full_name(), found.front().n_missing, found.front().n_files,
                    found.front().path.string(), found.front().full_name()));
  return found.front();
}

// What `flag`, -hf or -hfd, was given, checked.
hub::RepoName name_of_repo(const char* flag, const std::string& text) {
  hub::RepoName name;
  if (!hub::parse_repo_name(text, name))
    throw options::UsageError(fmt::format(
        "{} takes USER/REPO[:QUANT], such as unsloth/Qwen3-1.7B-GGUF:Q8_0; {} is none", flag, text));
  return name;
}

// The draft model's path in place of its name.
void find_draft_model(Invocation& invocation) {
  const HubSettings& hub = invocation.settings.hub;
  SpeculationOptions& o = invocation.settings.engine.speculation;
  if (!o.model.path.empty())
    o.model.path = model_path_of(o.model.path, invocation);
  else if (!hub.draft_repo.empty())
    o.model.path = path_of_hub_model(invocation, name_of_repo("-hfd", hub.draft_repo), "");
  else if (o.from_model && !o.from_request && !o.from_history && !o.from_grammar)
    throw options::UsageError("--spec-type draft needs a draft model: -md FILE or -hfd USER/REPO[:QUANT]");
}

}  // namespace

void require_model(Invocation& invocation, const char* command) {
  Settings& s = invocation.settings;
  find_draft_model(invocation);
  if (s.engine.model_path.empty() && !s.hub.repo.empty()) {
    s.engine.model_path = path_of_hub_model(invocation, name_of_repo("-hf", s.hub.repo), s.hub.file);
    return;
  }
  if (s.engine.model_path.empty()) {
    std::string message = fmt::format("no model was named: moraine {} MODEL", command);
    const auto models = hub::find_local_models(model_roots(invocation.env));
    message += models.empty() ? "; to fetch one: moraine pull USER/REPO"
                              : fmt::format("; here is {}", models.front().full_name());
    throw options::UsageError(message);
  }
  const hub::LocalModel m = find_model(s.engine.model_path, invocation);
  // A blob's file name tells clients nothing.
  if (m.origin == hub::Origin::kOllama && s.api.alias.empty()) s.api.alias = m.full_name();
  s.engine.model_path = m.path.string();
}

std::string model_path_of(const std::string& text, const Invocation& invocation) {
  return find_model(text, invocation).path.string();
}

void read_chat_files(Settings& s) {
  constexpr size_t kMaxBytes = 1 << 20;
  const auto read = [](const std::string& path, const char* option, std::string& text) {
    if (!path.empty()) text = read_text_file(path, option, kMaxBytes);
  };
  read(s.chat_template_file, "--chat-template-file", s.api.chat_template);
  read(s.grammar_file, "--grammar-file", s.api.grammar);
  read(s.json_schema_file, "--json-schema-file", s.api.json_schema);
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
