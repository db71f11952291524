// The log of the server: lines on the console and, where asked, in a file.
#pragma once

#include <memory>

#include "console.h"
#include "settings.h"

namespace spdlog {
class logger;
}

namespace moraine::app {

// `console` must outlive it. Throws Error{kIo} where the file cannot be written.
std::shared_ptr<spdlog::logger> make_log(const Settings& settings, Console& console);

// What the API reports, at its level.
void write_log(spdlog::logger& log, server::LogLevel level, const std::string& line);

}  // namespace moraine::app
