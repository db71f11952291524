// Where models lie on this machine and which hub is asked, from the environment and the options: the one
// place that knows other programs' variables. What is done there: src/hub.
#pragma once

#include <filesystem>
#include <string>

#include "base/options/parser.h"
#include "hub/local_models.h"
#include "settings.h"

namespace moraine::app {

// The hub's cache as huggingface_hub finds it: HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME, ~/.cache; empty
// where none of them is set.
std::filesystem::path hub_cache(const options::Environment& env);

// This folder and models/ in it, the hub's cache, LM Studio, Ollama (also the system's), llama.cpp.
hub::Roots model_roots(const options::Environment& env);

// --hf-token or HF_TOKEN, else the file that `hf auth login` leaves; empty: none.
std::string hub_token(const Settings& settings, const options::Environment& env);

// "~/models/x.gguf" where it lies in the home folder.
std::string short_path(const std::filesystem::path& path, const options::Environment& env);

}  // namespace moraine::app
