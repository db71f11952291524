// Brings one quantisation of a repository into the hub's cache: room first, then file by file, then the names
// under which huggingface_hub and moraine find it.
#pragma once

#include "hub/download.h"
#include "hub/hub_cache.h"
#include "hub/variants.h"

namespace moraine::hub {

struct PullProgress {
  size_t file = 0, n_files = 0;  // counted from 0
  std::string file_name;
  uint64_t bytes_done = 0, bytes_total = 0;  // of all files
  uint64_t bytes_resumed = 0;                // there before this run
  bool checking = false;                     // all bytes are there, and the sum is taken
};

struct PullRequest {
  std::filesystem::path hub_cache;
  const Repository& repository;
  const Variant& variant;
  std::string revision;  // as named by the user: the ref that is set
  int n_connections = 8;
  std::function<void(const PullProgress&)> on_progress;
};

// Bytes that are still to come; what earlier runs or huggingface_hub left does not count.
uint64_t bytes_to_fetch(const PullRequest& request);

// The path of the (first) file in its snapshot. Throws Error as fetch_file does; kOutOfMemory's place takes
// kIo where the disk has too little room, before anything is fetched.
std::filesystem::path pull(const HubOptions& options, const PullRequest& request);

}  // namespace moraine::hub
