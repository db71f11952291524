// The results of `moraine bench` as llama-bench prints its own: the same fields and the same table.
#pragma once

#include <moraine/engine.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "settings.h"

namespace moraine::app {

struct BenchResult {
  ModelInfo info;
  int32_t n_prompt = 0, n_gen = 0;
  int32_t n_depth = 0;  // tokens before what is measured
  std::chrono::system_clock::time_point started;
  std::vector<uint64_t> samples_ns;

  std::string test() const;  // "pp512", "tg128", "pp512 @ d8192"
  int32_t n_tokens() const { return n_prompt + n_gen; }
};

std::string bench_report(const std::vector<BenchResult>& results, const Settings& settings);

}  // namespace moraine::app
