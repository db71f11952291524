// For the tests of the meter: records.
#pragma once

#include <string>

#include "base/testing.h"
#include "usage/record.h"

namespace moraine::usage {

inline Record record(int64_t ended_ms, double whole_ms, std::string model = "m") {
  Record r;
  r.ended_ms = ended_ms;
  r.whole_ms = whole_ms;
  r.model = std::move(model);
  r.client = "opencode";
  r.protocol = "/v1/chat/completions";
  r.outcome = "done";
  r.n_fresh = 100, r.n_cached = 900, r.n_generated = 50, r.n_drafted = 10, r.n_accepted = 7;
  return r;
}

}  // namespace moraine::usage
