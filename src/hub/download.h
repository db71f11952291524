// One file from the hub into one file on disk: several connections, each reading ranges; what was written
// survives a kill; the SHA-256 is taken along the way and decides at the end. Where files go: hub_cache.h.
#pragma once

#include <filesystem>
#include <functional>

#include "hub/hub_client.h"

namespace moraine::hub {

struct DownloadProgress {
  uint64_t bytes_done = 0;  // there by now, with what an earlier run left
  uint64_t bytes_total = 0;
  uint64_t bytes_resumed = 0;  // that an earlier run left
  uint64_t bytes_checked = 0;  // of the sum
};

struct Download {
  std::string repository;  // for messages
  std::string url;         // of the hub; redirects to where the bytes are, without the token
  RemoteFile file;
  std::filesystem::path partial;  // written here; beside it, with ".pieces" added, the map of what is there
  int n_connections = 8;
  // A few times a second, on the calling thread.
  std::function<void(const DownloadProgress&)> on_progress;
};

// Bytes of this download that an earlier run left; 0 where there are none.
uint64_t bytes_left_by_earlier_run(const Download& download);

// On return `partial` holds the whole file, checked and flushed, and the map is gone: give it its name.
// Throws Error: kCancelled (what came is kept), kUnavailable (the hub; kept), kIo (a full disk; kept),
// kCorruptFile (the sum is another: removed), kNotFound (refused).
void fetch_file(const HubOptions& options, const Download& download);

}  // namespace moraine::hub
