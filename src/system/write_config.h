// Puts the edits of a remedy in place: the old file copied beside it first, the new one whole or not at all.
#pragma once

#include <string>
#include <vector>

#include "base/root_files.h"
#include "system/remedy.h"

namespace moraine::system {

struct Written {
  std::string path;    // as on disk
  std::string backup;  // empty for a new file
};

// Checks that the file is as the edit expects it, saves a copy as PATH.before-moraine (kept if one is there
// already: the first one is the state before us), writes a temporary file in the same folder, syncs it and
// renames it over the old one. Whatever fails, the old file stands untouched. Throws Error{kIo} with the
// cause and the remedy: no rights, a read-only file system, a full disk, a file that changed meanwhile.
Written write_edit(const RootFiles& files, const FileEdit& edit);

}  // namespace moraine::system
