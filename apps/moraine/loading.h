// Shows a model being loaded: one live line on a terminal, a plain line now and then elsewhere.
#pragma once

#include <moraine/engine.h>

#include <chrono>
#include <string>

#include "console.h"

namespace moraine::app {

class LoadingDisplay {
 public:
  LoadingDisplay(Console& console, std::string name) : console_(console), name_(std::move(name)) {}
  ~LoadingDisplay() { console_.end_live(); }
  LoadingDisplay(const LoadingDisplay&) = delete;
  LoadingDisplay& operator=(const LoadingDisplay&) = delete;

  void show(const LoadProgress& progress);

 private:
  Console& console_;
  std::string name_;
  std::chrono::steady_clock::time_point last_plain_ = std::chrono::steady_clock::now();
};

// "3.21 of 48.4 GB, 2.1 GB/s, 21 s left"
std::string progress_text(const LoadProgress& progress);

}  // namespace moraine::app
