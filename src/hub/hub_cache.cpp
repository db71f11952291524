#include "hub/hub_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "hub/quantization.h"

namespace moraine::hub {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMaxEntries = 100000;

[[noreturn]] void fail(const fs::path& path, const char* what, const std::string& why) {
  throw Error(ErrorCode::kIo, fmt::format("{} cannot be {}: {}.", path.string(), what, why));
}

std::string folder_name(const std::string& id) {
  std::string name = "models--";
  for (const char c : id)
    if (c == '/')
      name += "--";
    else
      name += c;
  return name;
}

// A new name put in place at once, so that no reader ever sees half of it.
fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / fmt::format(".{}.{}.tmp", path.filename().string(), ::getpid());
}

}  // namespace

RepositoryCache::RepositoryCache(const fs::path& hub_cache, const std::string& id)
    : root_(hub_cache / folder_name(id)), locks_(hub_cache / ".locks" / folder_name(id)) {}

fs::path RepositoryCache::blob(const RemoteFile& file) const { return root_ / "blobs" / file.sum; }
fs::path RepositoryCache::partial(const RemoteFile& file) const {
  return root_ / "blobs" / (file.sum + ".moraine.incomplete");
}
fs::path RepositoryCache::snapshot_file(const std::string& commit, const RemoteFile& file) const {
  return root_ / "snapshots" / commit / file.path;
}
fs::path RepositoryCache::lock_path(const RemoteFile& file) const { return locks_ / (file.sum + ".lock"); }

bool RepositoryCache::has_blob(const RemoteFile& file) const {
  std::error_code error;
  const fs::path path = blob(file);
  return fs::is_regular_file(path, error) && fs::file_size(path, error) == file.size_bytes && !error;
}

void RepositoryCache::make_folders() const {
  for (const fs::path& folder : {root_ / "blobs", root_ / "refs", root_ / "snapshots", locks_}) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail(folder, "made", error.message());
  }
}

void RepositoryCache::take_over(const RemoteFile& file) const {
  std::error_code error;
  fs::rename(partial(file), blob(file), error);
  if (error) fail(blob(file), "made", error.message());
}

void RepositoryCache::link(const std::string& commit, const RemoteFile& file) const {
  const fs::path path = snapshot_file(commit, file);
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) fail(path.parent_path(), "made", error.message());
  const fs::path target = fs::relative(blob(file), path.parent_path(), error);
  if (fs::is_symlink(path, error) && fs::read_symlink(path, error) == target) return;
  const fs::path temporary = temporary_beside(path);
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (error) fail(path, "made", error.message());
  fs::rename(temporary, path, error);
  if (error) fail(path, "made", error.message());
}

void RepositoryCache::set_ref(const std::string& revision, const std::string& commit) const {
  if (revision == commit || !is_safe_path(revision)) return;
  const fs::path path = root_ / "refs" / revision;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  const fs::path temporary = temporary_beside(path);
  {
    std::ofstream out(temporary);
    out << commit;
    out.close();
    if (!out) fail(path, "written", std::strerror(errno));
  }
  fs::rename(temporary, path, error);
  if (error) fail(path, "written", error.message());
}

RepositoryCache::Lock::Lock(const fs::path& path) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd_ < 0) fail(path, "made", std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(fd_);
  throw Error(
      ErrorCode::kUnavailable,
      fmt::format("Another program is fetching this file right now (it holds {}): wait until it is done.",
                  path.string()));
}
RepositoryCache::Lock::~Lock() {
  if (fd_ >= 0) ::close(fd_);
}

uint64_t free_bytes(const fs::path& path) {
  fs::path there = fs::absolute(path);
  std::error_code error;
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  struct statvfs s{};
  if (::statvfs(there.c_str(), &s) != 0) fail(there, "looked at", std::strerror(errno));
  return static_cast<uint64_t>(s.f_bavail) * s.f_frsize;
}

Removal plan_removal(const fs::path& hub_cache, const LocalModel& model) {
  const fs::path root = hub_cache / folder_name(model.name);
  std::set<std::string> names;  // of the model's files
  for (const fs::path& file : files_of_set(model.path)) names.insert(file.filename().string());
  Removal removal;
  removal.repository = root;
  std::set<fs::path> wanted, kept;  // blobs
  std::error_code error;
  size_t seen = 0;
  for (fs::recursive_directory_iterator it(root / "snapshots", error), end;
       !error && it != end && seen < kMaxEntries; it.increment(error), ++seen) {
    if (!it->is_symlink(error) && !it->is_regular_file(error)) continue;
    const fs::path blob = fs::weakly_canonical(it->path(), error);
    const bool ours = names.contains(it->path().filename().string()) &&
                      quantization_of(it->path().filename().string()) == model.quantization;
    (ours ? wanted : kept).insert(blob);
    if (ours) removal.links.push_back(it->path());
  }
  if (error) fail(root, "read", error.message());
  const fs::path blobs = fs::weakly_canonical(root / "blobs", error);
  for (const fs::path& blob : wanted) {
    if (kept.contains(blob) || blob.parent_path() != blobs)
      continue;  // a link that leads elsewhere is only unlinked
    const uint64_t size = fs::file_size(blob, error);
    if (error) continue;
    removal.size_bytes += size;
    removal.blobs.push_back(blob);
  }
  return removal;
}

void remove(const fs::path& hub_cache, const Removal& removal) {
  std::set<fs::path> folders;
  for (const auto* paths : {&removal.links, &removal.blobs})
    for (const fs::path& path : *paths) {
      std::error_code error;
      fs::remove(path, error);
      if (error) fail(path, "removed", error.message());
      folders.insert(path.parent_path());
    }
  const fs::path top = hub_cache.lexically_normal();
  for (fs::path folder : folders)
    for (std::error_code error;
         folder != top && folder.has_relative_path() && fs::is_empty(folder, error) && !error;
         folder = folder.parent_path())
      fs::remove(folder, error);
  std::error_code error;
  if (!fs::exists(removal.repository / "snapshots", error) &&
      !fs::exists(removal.repository / "blobs", error))
    fs::remove_all(removal.repository, error);
}

}  // namespace moraine::hub
