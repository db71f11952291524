// The hub's cache on disk, laid out as huggingface_hub does, so that either finds what the other fetched:
//   models--USER--REPO/blobs/SUM, snapshots/COMMIT/FILE -> ../../blobs/SUM, refs/REVISION = COMMIT
// A file on its way is blobs/SUM.moraine.incomplete, under a name of its own: pieces of it arrive out of
// order, and huggingface_hub would take a file of its own name for a beginning without gaps.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hub/hub_client.h"
#include "hub/local_models.h"

namespace moraine::hub {

class RepositoryCache {
 public:
  RepositoryCache(const std::filesystem::path& hub_cache, const std::string& id);

  std::filesystem::path blob(const RemoteFile& file) const;
  std::filesystem::path partial(const RemoteFile& file) const;
  std::filesystem::path snapshot_file(const std::string& commit, const RemoteFile& file) const;
  bool has_blob(const RemoteFile& file) const;  // of the right size

  void make_folders() const;                     // throws Error{kIo}
  void take_over(const RemoteFile& file) const;  // partial() becomes blob(); throws Error{kIo}
  // The snapshot's name for a blob that is there. Throws Error{kIo}.
  void link(const std::string& commit, const RemoteFile& file) const;
  void set_ref(const std::string& revision, const std::string& commit) const;  // throws Error{kIo}

  // Held while a file is fetched: huggingface_hub takes the same one.
  class Lock {
   public:
    explicit Lock(const std::filesystem::path& path);  // throws Error{kUnavailable} where it is held
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    int fd_ = -1;
  };
  std::filesystem::path lock_path(const RemoteFile& file) const;

 private:
  std::filesystem::path root_, locks_;
};

// Bytes that can be written where `path` is or will be. Throws Error{kIo}.
uint64_t free_bytes(const std::filesystem::path& path);

// What removing a model of the cache would remove: its names in all snapshots, and blobs that nothing else
// names. Empty folders go with them.
struct Removal {
  std::vector<std::filesystem::path> links, blobs;
  uint64_t size_bytes = 0;           // that the disk gets back
  std::filesystem::path repository;  // models--USER--REPO: removed with its refs where nothing is left in it
};
// `model` must be one of the hub's cache. Throws Error{kIo}.
Removal plan_removal(const std::filesystem::path& hub_cache, const LocalModel& model);
void remove(const std::filesystem::path& hub_cache, const Removal& removal);  // throws Error{kIo}

}  // namespace moraine::hub
