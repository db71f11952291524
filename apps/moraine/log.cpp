#include "log.h"

#include <moraine/error.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <mutex>

namespace moraine::app {
namespace {

// Through the console, so that a line does not tear the live one.
class ConsoleSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit ConsoleSink(Console& console) : console_(console) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t buffer;
    formatter_->format(message, buffer);
    std::string text(buffer.data(), buffer.size());
    while (text.ends_with('\n')) text.pop_back();
    const bool bad = message.level >= spdlog::level::err, worrying = message.level == spdlog::level::warn;
    console_.line(bad        ? console_.styled(text, Style::kRed)
                  : worrying ? console_.styled(text, Style::kYellow)
                             : text);
  }
  void flush_() override {}

 private:
  Console& console_;
};

spdlog::level::level_enum level_of(const Settings& s) {
  if (s.log_disabled) return spdlog::level::off;
  if (s.verbosity <= 1) return spdlog::level::err;
  if (s.verbosity == 2) return spdlog::level::warn;
  return s.verbosity == 3 ? spdlog::level::info : spdlog::level::debug;
}

}  // namespace

std::shared_ptr<spdlog::logger> make_log(const Settings& s, Console& console) {
  std::vector<spdlog::sink_ptr> sinks = {std::make_shared<ConsoleSink>(console)};
  try {
    if (!s.log_file.empty()) sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(s.log_file));
  } catch (const spdlog::spdlog_ex& e) {
    throw Error(ErrorCode::kIo, std::string("The log cannot be written: ") + e.what() + ".");
  }
  auto log = std::make_shared<spdlog::logger>("moraine", sinks.begin(), sinks.end());
  log->set_level(level_of(s));
  log->set_pattern(s.log_timestamps ? "%H:%M:%S %l: %v" : "%l: %v");
  if (sinks.size() > 1) sinks[1]->set_pattern("%Y-%m-%d %H:%M:%S %l: %v");
  log->flush_on(spdlog::level::info);
  return log;
}

void write_log(spdlog::logger& log, server::LogLevel level, const std::string& text) {
  // A path that a client chose must not make a line of its own, nor drive a terminal that shows the file.
  std::string line = terminal_safe(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  switch (level) {
    case server::LogLevel::kDebug:
      log.debug("{}", line);
      break;
    case server::LogLevel::kInfo:
      log.info("{}", line);
      break;
    case server::LogLevel::kWarning:
      log.warn("{}", line);
      break;
    case server::LogLevel::kError:
      log.error("{}", line);
      break;
  }
}

}  // namespace moraine::app
