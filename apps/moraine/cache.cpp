// `moraine cache`: what finished prompts left on disk, model by model, and how to be rid of it.
#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "app.h"
#include "cache/disk_folder.h"
#include "cache_place.h"

namespace moraine::app {
namespace {

std::string json_report(const std::string& folder, const cache::DiskUse& use) {
  nlohmann::ordered_json models = nlohmann::ordered_json::array();
  for (const auto& m : use.models)
    models.push_back({{"name", m.name}, {"bytes", m.bytes}, {"files", m.files}, {"last_used", m.last_used}});
  const nlohmann::ordered_json out = {
      {"folder", folder}, {"bytes", use.bytes}, {"files", use.files}, {"models", std::move(models)}};
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string age_text(int64_t since) {
  const int64_t minutes = (std::time(nullptr) - since) / 60;
  if (minutes < 1) return "just now";
  if (minutes < 120) return fmt::format("{} min ago", minutes);
  if (minutes < 48 * 60) return fmt::format("{} h ago", minutes / 60);
  return fmt::format("{} days ago", minutes / 60 / 24);
}

std::string text_report(const std::string& folder, const cache::DiskUse& use, const Settings& s) {
  std::string out =
      fmt::format("{}: {} of at most {} in {} file{}\n", folder, size_text(use.bytes),
                  size_text(s.engine.cache_disk_bytes), count_text(use.files), use.files == 1 ? "" : "s");
  for (const auto& m : use.models)
    out += fmt::format("  {:>9}  {:<60}  used {}\n", size_text(m.bytes), m.name, age_text(m.last_used));
  return terminal_safe(out);
}

}  // namespace

int cache(Invocation& invocation) {
  const Settings& s = invocation.settings;
  const std::string folder = cache_folder(s.cache, invocation.env);
  std::optional<cache::DiskFolder> found;
  if (!folder.empty() && std::filesystem::exists(folder)) found = cache::DiskFolder::existing(folder);
  const cache::DiskUse use = !found ? cache::DiskUse{} : s.cache.clear ? found->clear() : found->use();
  if (s.json) {
    const std::string report = json_report(folder, use);
    std::fwrite(report.data(), 1, report.size(), stdout);
  } else if (folder.empty()) {
    invocation.console.line("The cache on disk is off (--cache-disk off).");
  } else if (use.files == 0) {
    invocation.console.line(fmt::format("Nothing is cached in {}.", terminal_safe(folder)));
  } else if (s.cache.clear) {
    invocation.console.line(fmt::format("Removed {} in {} file{} from {}.", size_text(use.bytes),
                                        count_text(use.files), use.files == 1 ? "" : "s",
                                        terminal_safe(folder)));
  } else {
    const std::string report = text_report(folder, use, s);
    std::fwrite(report.data(), 1, report.size(), stdout);
    std::fflush(stdout);
    invocation.console.line(
        "To be rid of it: moraine cache clear; to do without: moraine serve --cache-disk off");
  }
  std::fflush(stdout);
  return kOk;
}

}  // namespace moraine::app
