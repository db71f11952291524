// The options of the cache on disk, and where it lies.
#include "base/options/value.h"
#include "cache_place.h"
#include "option_table.h"

namespace moraine::app {

using namespace options;

void add_cache_options(Table& t, Settings& s) {
  t.section("Cache on disk", kServe | kCache);
  t.add("--cache-disk DIR|off", text(s.cache.disk), "where what prompts leave behind outlives the program")
      .standard("moraine/prompts in the user's cache folder");
  t.add("--cache-disk-max SIZE", bytes(s.engine.cache_disk_bytes), "most that it takes, such as 8G")
      .standard("16G");
  t.add("--slot-save-path DIR", text(s.api.slot_save_path),
        "let clients save a slot's conversation to a file there, and restore it")
      .standard("they may not")
      .only(kServe)
      .env("LLAMA_ARG_SLOT_SAVE_PATH");
  t.add("--json", toggle(s.json), "print JSON").only(kCache).command_line_only();
}

std::string cache_folder(const CacheSettings& settings, const Environment& env) {
  if (const auto said = parse_bool(settings.disk); said && !*said) return "";
  if (!settings.disk.empty() && !parse_bool(settings.disk)) return settings.disk;
  const auto set = [&](const char* name) -> std::string {
    const char* value = env(name);
    return value && value[0] == '/' ? value : "";  // the XDG specification: relative ones are to be ignored
  };
  if (const std::string cache = set("XDG_CACHE_HOME"); !cache.empty()) return cache + "/moraine/prompts";
  if (const std::string home = set("HOME"); !home.empty()) return home + "/.cache/moraine/prompts";
  return "";
}

}  // namespace moraine::app
