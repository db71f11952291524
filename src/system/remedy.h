// What to write where, so that the GPU may map so much memory: the edits for this system's bootloader, the
// commands that follow, and the way back. Pure: facts in, texts out; writing them is write_config.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "system/facts.h"

namespace moraine::system {

constexpr uint64_t kPageBytes = 4096;  // of ttm.pages_limit, whatever the CPU's pages are

struct FileEdit {
  std::string path;
  bool is_new = false;
  std::string old_text, new_text;
  std::vector<std::string> lines;    // those that are new or changed, as they will stand
  std::vector<std::string> removed;  // those that are gone, as they stood
};

struct Remedy {
  uint64_t pages = 0;
  std::vector<FileEdit> edits;
  std::vector<std::string> by_hand;   // sentences: what to do where no edit can be made for the user
  std::vector<std::string> commands;  // after the edits, in order; begin with sudo where they need it
  std::vector<std::string> undo;      // the way back
  std::vector<std::string> notes;     // sentences: what wins, what an update undoes
};

// `drop_gttsize`: take amdgpu.gttsize out, wherever it stands.
Remedy make_remedy(const SystemFacts& facts, uint64_t pages, bool drop_gttsize);

// The lines of `after` that `before` has not, in order.
std::vector<std::string> changed_lines(const std::string& before, const std::string& after);

}  // namespace moraine::system
