#include "console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace moraine::app {
namespace {

constexpr int kUnknownWidth = 100;

const char* code(Style style) {
  switch (style) {
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kRed:
      return "\x1b[1;31m";
    case Style::kYellow:
      return "\x1b[33m";
    case Style::kGreen:
      return "\x1b[32m";
  }
  return "";
}

}  // namespace

bool is_terminal(int fd) noexcept { return isatty(fd) == 1; }

int terminal_width(int fd) noexcept {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return kUnknownWidth;
}

Console::Console() : is_terminal_(app::is_terminal(STDERR_FILENO)) {}

void Console::set_colors(std::optional<bool> colors, bool no_color) {
  colors_ = colors.value_or(is_terminal_ && !no_color);
}

int Console::width() const noexcept { return terminal_width(STDERR_FILENO); }

std::string Console::styled(std::string_view text, Style style) const {
  return colors_ ? fmt::format("{}{}\x1b[0m", code(style), text) : std::string(text);
}

void Console::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nobody reads: there is nobody to tell
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void Console::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  std::string out = live_.empty() ? "" : "\r\x1b[K";
  out.append(text).append("\n").append(live_);
  write(out);
}

void Console::warn(std::string_view text) {
  line(styled("warning:", Style::kYellow) + " " + std::string(text));
}
void Console::error(std::string_view text) {
  line(styled("moraine:", Style::kRed) + " " + std::string(text));
}

void Console::live(std::string_view text) {
  if (!is_terminal_) return;
  const std::lock_guard lock(mutex_);
  live_ = text.substr(0, static_cast<size_t>(std::max(width() - 1, 1)));  // a longer one could not be erased
  write("\r\x1b[K" + live_);
}

void Console::end_live() {
  const std::lock_guard lock(mutex_);
  if (live_.empty()) return;
  live_.clear();
  write("\r\x1b[K");
}

std::string terminal_safe(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (c == '\n' || c == '\t') {
      out += text[i];
    } else if (c < 0x20) {  // U+2400 and on: pictures of the control characters
      out += "\xE2\x90";
      out += static_cast<char>(0x80 + c);
    } else if (c == 0x7f) {
      out += "\xE2\x90\xA1";
    } else if (c == 0xC2 && next >= 0x80 && next < 0xA0) {  // C1: some terminals obey them
      out += "\xEF\xBF\xBD";
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string size_text(uint64_t bytes) {
  const auto n = static_cast<double>(bytes);
  if (n >= 100e9) return fmt::format("{:.0f} GB", n / 1e9);
  if (n >= 10e9) return fmt::format("{:.1f} GB", n / 1e9);
  if (n >= 1e9) return fmt::format("{:.2f} GB", n / 1e9);
  return fmt::format("{:.0f} MB", n / 1e6);
}

std::string count_text(int64_t n) {
  const std::string digits = std::to_string(n < 0 ? -n : n);
  std::string text = n < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

}  // namespace moraine::app
