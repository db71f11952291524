// The API's log: lines to the hook of ApiOptions, and warnings that are worth saying only once.
#pragma once

#include <mutex>
#include <set>
#include <string>

#include "server/api/api.h"

namespace moraine::server {

class Log {
 public:
  explicit Log(std::function<void(LogLevel, const std::string&)> hook) : hook_(std::move(hook)) {}

  void line(LogLevel level, const std::string& text) {
    if (hook_) hook_(level, text);
  }
  // The first time for each `key`; keys are our own words, never a client's, so their number is bounded.
  void warn_once(const std::string& key, const std::string& text) {
    {
      const std::lock_guard lock(mutex_);
      if (!seen_.insert(key).second) return;
    }
    line(LogLevel::kWarning, text);
  }

 private:
  std::function<void(LogLevel, const std::string&)> hook_;
  std::mutex mutex_;
  std::set<std::string> seen_;
};

}  // namespace moraine::server
