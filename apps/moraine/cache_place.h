// Where the cache on disk lies.
#pragma once

#include <string>

#include "base/options/parser.h"
#include "settings.h"

namespace moraine::app {

// What --cache-disk says, or moraine/prompts in the user's cache folder ($XDG_CACHE_HOME, or ~/.cache).
// Empty: off, or there is no such folder to name.
std::string cache_folder(const CacheSettings& settings, const options::Environment& env);

}  // namespace moraine::app
