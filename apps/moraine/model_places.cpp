#include "model_places.h"

#include <fstream>

namespace moraine::app {

namespace fs = std::filesystem;

namespace {

std::string variable(const options::Environment& env, const char* name) {
  const char* value = env(name);
  return value ? value : "";
}

// A variable's folder, in which a leading ~ is the home folder, as huggingface_hub reads them.
fs::path folder_of(const options::Environment& env, const char* name) {
  const std::string value = variable(env, name);
  if (value == "~" || value.starts_with("~/")) return variable(env, "HOME") + value.substr(1);
  return value;
}

fs::path cache_home(const options::Environment& env) {
  if (fs::path xdg = folder_of(env, "XDG_CACHE_HOME"); !xdg.empty()) return xdg;
  const std::string home = variable(env, "HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache";
}

fs::path hub_home(const options::Environment& env) {
  if (fs::path home = folder_of(env, "HF_HOME"); !home.empty()) return home;
  const fs::path cache = cache_home(env);
  return cache.empty() ? cache : cache / "huggingface";
}

}  // namespace

fs::path hub_cache(const options::Environment& env) {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (fs::path folder = folder_of(env, name); !folder.empty()) return folder;
  const fs::path home = hub_home(env);
  return home.empty() ? home : home / "hub";
}

hub::Roots model_roots(const options::Environment& env) {
  hub::Roots roots;
  roots.folders = {"", "models"};
  roots.hub = hub_cache(env);
  const fs::path home = variable(env, "HOME"), cache = cache_home(env);
  if (!home.empty()) roots.lm_studio = {home / ".lmstudio" / "models"};
  if (!cache.empty()) {
    roots.lm_studio.push_back(cache / "lm-studio" / "models");
    roots.llama_cpp.push_back(cache / "llama.cpp");
  }
  if (fs::path own = folder_of(env, "LLAMA_CACHE"); !own.empty())
    roots.llama_cpp.insert(roots.llama_cpp.begin(), own);
  if (fs::path own = folder_of(env, "OLLAMA_MODELS"); !own.empty()) roots.ollama.push_back(own);
  if (!home.empty()) roots.ollama.push_back(home / ".ollama" / "models");
  roots.ollama.push_back("/usr/share/ollama/.ollama/models");
  return roots;
}

std::string hub_token(const Settings& s, const options::Environment& env) {
  if (!s.hub.token.empty()) return s.hub.token;
  fs::path file = folder_of(env, "HF_TOKEN_PATH");
  if (file.empty()) file = hub_home(env) / "token";
  std::ifstream in(file);
  std::string token(1024, '\0');
  in.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<size_t>(in.gcount()));
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  token.erase(0, token.find_first_not_of(" \t\r\n"));
  return token;
}

std::string short_path(const fs::path& path, const options::Environment& env) {
  const std::string home = variable(env, "HOME"), text = path.string();
  return !home.empty() && home != "/" && text.starts_with(home + "/") ? "~" + text.substr(home.size()) : text;
}

}  // namespace moraine::app
