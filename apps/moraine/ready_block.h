// What `moraine serve` says once the model is there, in at most ten lines: what is served, on what, how
// long a context, what became of each flag, who can reach it, and what to type next.
#pragma once

#include <moraine/engine.h>

#include <string>
#include <vector>

#include "base/options/parser.h"
#include "settings.h"

namespace moraine::app {

struct ReadyLine {
  std::string label;  // "model"; empty: goes on with the one above
  std::string text;
  bool is_warning = false;
};

struct ReadyState {
  const ModelInfo& info;
  const Settings& settings;
  const options::Parsed& parsed;
  int port = 0;  // the one that is open
  double load_seconds = 0;
};

inline constexpr size_t kMaxReadyLines = 10;
std::vector<ReadyLine> ready_block(const ReadyState& state);

// "4.62 of 23.50 GB that are free: weights 4.43, ...": what loading takes, told before it begins.
std::string memory_text(const MemoryEstimate& memory, bool limited);

bool is_loopback(const std::string& host);
std::string base_url(const Settings& settings, int port);  // as a client on this machine would write it

}  // namespace moraine::app
