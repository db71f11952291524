// Standard error as people see it: whole lines, colours where they are wanted, and one live line at the
// bottom that later lines do not tear. Thread-safe. Answers go to standard output, not through here.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace moraine::app {

enum class Style { kBold, kDim, kRed, kYellow, kGreen };

class Console {
 public:
  // `colors`: empty: on a terminal, unless NO_COLOR is set (no_color) or TERM is dumb.
  Console();
  void set_colors(std::optional<bool> colors, bool no_color);

  bool is_terminal() const noexcept { return is_terminal_; }
  bool has_colors() const noexcept { return colors_; }
  int width() const noexcept;  // columns; 100 where not a terminal

  std::string styled(std::string_view text, Style style) const;

  void line(std::string_view text);
  void warn(std::string_view text);   // "warning: ..."
  void error(std::string_view text);  // "moraine: ..."
  // Shows `text` in place of the last live line; nothing where not a terminal. line() keeps it below.
  void live(std::string_view text);
  void end_live();

 private:
  void write(std::string_view text);
  bool is_terminal_ = false, colors_ = false;
  std::mutex mutex_;
  std::string live_;
};

// `text` without what could take a terminal over: control characters but line ends and tabs become
// visible ones. Whole UTF-8 characters in, whole ones out.
std::string terminal_safe(std::string_view text);

bool is_terminal(int fd) noexcept;
int terminal_width(int fd) noexcept;  // columns; 100 where unknown

// "1.25 GB", "830 MB": powers of ten, as disks and downloads are counted.
std::string size_text(uint64_t bytes);
// "8,192"
std::string count_text(int64_t n);

}  // namespace moraine::app
