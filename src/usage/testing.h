// For the tests of the meter: a folder that goes with its object, and records.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "usage/record.h"

namespace moraine::usage {

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "moraine-usage-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TestFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

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
