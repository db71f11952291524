// `moraine usage`: what the meter has counted (src/usage), and what a cloud model would have charged for it.
#include <fmt/format.h>
#include <moraine/error.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "app.h"
#include "model_path.h"
#include "usage/store.h"
#include "usage_place.h"
#include "usage_report.h"

namespace moraine::app {
namespace {

constexpr size_t kMaxPriceBytes = 1 << 20;

int write_prices(const std::string& path, Console& console) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  // Edited prices are never written over.
  std::FILE* file = std::fopen(path.c_str(), "wx");
  if (file == nullptr && errno == EEXIST)
    throw Error(ErrorCode::kInvalidArgument, fmt::format("{} is there already: edit it.", path));
  const std::string_view text = usage::default_prices();
  const bool good = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if ((file != nullptr && std::fclose(file) != 0) || !good)
    throw Error(ErrorCode::kIo, fmt::format("Writing {} failed: {}.", path, std::strerror(errno)));
  console.line(fmt::format("Wrote {}: edit it as you like.", terminal_safe(path)));
  return kOk;
}

}  // namespace

Prices prices_for(const UsageSettings& settings, const options::Environment& env) {
  const std::string file = prices_file(settings, env);
  std::error_code error;
  if (settings.prices.empty() && (file.empty() || !std::filesystem::exists(file, error)))
    return {usage::parse_prices(usage::default_prices(), "the program"), ""};
  return {usage::parse_prices(read_text_file(file, "--prices", kMaxPriceBytes), file), file};
}

int usage_command(Invocation& invocation) {
  const Settings& s = invocation.settings;
  if (s.usage.write_prices) {
    const std::string prices = prices_file(s.usage, invocation.env);
    if (prices.empty()) throw options::UsageError("HOME is not set: say where with --prices FILE");
    return write_prices(prices, invocation.console);
  }
  if (s.usage.csv && s.json) throw options::UsageError("--csv and --json are two forms: choose one");

  UsageReport report;
  report.by = s.usage.by;
  Prices found = prices_for(s.usage, invocation.env);
  report.table = std::move(found.table);
  report.table_file = std::move(found.file);
  report.price = report.table.find(s.usage.price);

  const int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count();
  usage::Store::Filter filter;
  filter.epic = s.usage.epic;
  if (!s.usage.since.empty()) filter.since_ms = usage::parse_since(s.usage.since, now_ms);
  const std::string path = usage_file(s.usage, invocation.env);
  if (path.empty()) throw Error(ErrorCode::kNotFound, "Counting is off (--usage-file off).");
  const usage::Store store = usage::Store::open_existing(path);
  const usage::Summary summary = usage::summarise(store, filter, s.usage.by);
  report.rows = summary.rows();
  report.total = summary.total();
  const usage::Energy energy = store.energy(filter.since_ms);
  if (s.usage.watts > 0) {
    report.watts = s.usage.watts;
  } else if (energy.seconds > 0) {
    report.watts = energy.joules / energy.seconds;
    report.counted = true;
  }

  if (report.rows.empty() && !s.json && !s.usage.csv) {
    invocation.console.line(fmt::format("No request is counted for this in {}.", terminal_safe(path)));
    return kOk;
  }
  const std::string text = s.json        ? usage_json(report)
                           : s.usage.csv ? usage_csv(report)
                                         : usage_text(report, terminal_width(STDOUT_FILENO));
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return kOk;
}

}  // namespace moraine::app
