// A client's settings file on disk: read whole, written whole or not at all, with a copy of what was there
// before the first time. What is in it: client.h.
#pragma once

#include <string>

namespace moraine::agents {

struct SettingsFile {
  std::string path;  // links followed: what is written is the file they lead to
  bool exists = false;
  std::string text;

  // The copy: PATH.before-moraine, as the file was before us; empty where there was none.
  std::string backup_path() const { return path + ".before-moraine"; }
};

// Throws Error{kIo} where the file is there and cannot be read, or is no file.
SettingsFile read_settings(const std::string& path);

// Makes folders, the copy (unless one is there: the first is the state before us) and the file, through a
// temporary file beside it. Whatever fails, the old file stands untouched. Only the owner may read new files:
// they can hold a key. Throws Error{kIo}; also where the file changed since it was read.
void write_settings(const SettingsFile& read, const std::string& text);

// What undoing starts from. Throws Error{kNotFound} where nothing was written.
std::string read_backup(const SettingsFile& file);
// Writes `text`, or removes the file where that is empty and there was none before; then removes the copy.
void restore_settings(const SettingsFile& read, const std::string& before, const std::string& text);

}  // namespace moraine::agents
