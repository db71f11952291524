// The header of a model on the hub as a file on this disk, so that the estimator and `inspect` judge it
// before it is fetched: sparse files of the right lengths that hold the headers alone.
#pragma once

#include <filesystem>

#include "hub/variants.h"

namespace moraine::hub {

// A folder of its own with the variant's files, gone with the object.
class RemoteHeader {
 public:
  // Reads some MB. `parent`: where the folder is made. Throws Error as read_range does, kCorruptFile or
  // kUnsupported where what is there is no GGUF, kIo.
  RemoteHeader(const HubOptions& options, const Repository& repository, const Variant& variant,
               const std::filesystem::path& parent);
  ~RemoteHeader();
  RemoteHeader(const RemoteHeader&) = delete;
  RemoteHeader& operator=(const RemoteHeader&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }  // of the first file

 private:
  void add(const HubOptions& options, Connection& connection, const Repository& repository,
           const RemoteFile& file);
  std::filesystem::path folder_, path_;
};

}  // namespace moraine::hub
