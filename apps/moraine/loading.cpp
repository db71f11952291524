#include "loading.h"

#include <fmt/format.h>

#include <cmath>

namespace moraine::app {
namespace {

constexpr std::chrono::seconds kPlainInterval(5);  // a log file should not fill with progress

std::string time_text(double seconds) {
  if (seconds >= 90) return fmt::format("{:.0f} min", std::ceil(seconds / 60));
  return fmt::format("{:.0f} s", std::ceil(seconds));
}

}  // namespace

std::string progress_text(const LoadProgress& p) {
  if (p.bytes_total == 0) return p.phase;
  std::string text =
      fmt::format("{:.2f} of {}", static_cast<double>(p.bytes_done) / 1e9, size_text(p.bytes_total));
  if (p.bytes_total < 1'000'000'000)
    text = fmt::format("{:.0f} of {}", static_cast<double>(p.bytes_done) / 1e6, size_text(p.bytes_total));
  if (p.bytes_per_second >= 1e9)
    text += fmt::format(", {:.1f} GB/s", p.bytes_per_second / 1e9);
  else if (p.bytes_per_second > 0)
    text += fmt::format(", {:.0f} MB/s", p.bytes_per_second / 1e6);
  if (p.seconds_left >= 0) text += fmt::format(", {} left", time_text(p.seconds_left));
  return text;
}

void LoadingDisplay::show(const LoadProgress& p) {
  const std::string text = fmt::format("loading {}: {}", terminal_safe(name_), progress_text(p));
  if (console_.is_terminal()) {
    console_.live(text);
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - last_plain_ < kPlainInterval) return;
  last_plain_ = now;
  console_.line(text);
}

}  // namespace moraine::app
