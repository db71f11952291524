#include "hub/pull.h"

#include <fmt/format.h>
#include <moraine/error.h>

namespace moraine::hub {
namespace {

constexpr uint64_t kSpareBytes = 64 << 20;  // left on the disk

Download download_of(const HubOptions& options, const PullRequest& q, const RepositoryCache& cache,
                     const RemoteFile& file) {
  Download d;
  d.repository = q.repository.id;
  d.url = file_url(options, q.repository, file);
  d.file = file;
  d.partial = cache.partial(file);
  d.n_connections = q.n_connections;
  return d;
}

std::string gigabytes(uint64_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9); }

}  // namespace

uint64_t bytes_to_fetch(const PullRequest& q) {
  const RepositoryCache cache(q.hub_cache, q.repository.id);
  uint64_t sum = 0;
  for (const RemoteFile& file : q.variant.files)
    if (!cache.has_blob(file))
      sum += file.size_bytes -
             std::min(file.size_bytes, bytes_left_by_earlier_run(download_of({}, q, cache, file)));
  return sum;
}

std::filesystem::path pull(const HubOptions& options, const PullRequest& q) {
  const RepositoryCache cache(q.hub_cache, q.repository.id);
  const uint64_t to_fetch = bytes_to_fetch(q), room = free_bytes(q.hub_cache);
  if (to_fetch + kSpareBytes > room)
    throw Error(
        ErrorCode::kIo,
        fmt::format(
            "{} needs {} more on the disk of {}, which has {} free: make room (moraine rm), or put the cache "
            "elsewhere with HF_HUB_CACHE.",
            q.variant.name, gigabytes(to_fetch), q.hub_cache.string(), gigabytes(room)));
  cache.make_folders();
  PullProgress progress;
  progress.n_files = q.variant.files.size();
  progress.bytes_total = q.variant.size_bytes;
  uint64_t of_earlier_files = 0, resumed_earlier = 0;
  for (const RemoteFile& file : q.variant.files) {
    progress.file_name = file.path;
    if (!cache.has_blob(file)) {
      const RepositoryCache::Lock lock(cache.lock_path(file));
      Download d = download_of(options, q, cache, file);
      d.on_progress = [&](const DownloadProgress& p) {
        progress.bytes_done = of_earlier_files + p.bytes_done;
        progress.bytes_resumed = resumed_earlier + p.bytes_resumed;
        progress.checking = p.bytes_done == p.bytes_total;
        if (q.on_progress) q.on_progress(progress);
      };
      fetch_file(options, d);
      cache.take_over(file);
    } else {
      resumed_earlier += file.size_bytes;
    }
    cache.link(q.repository.commit, file);
    of_earlier_files += file.size_bytes;
    ++progress.file;
  }
  // Last: who finds the ref finds all of its files.
  cache.set_ref(q.revision, q.repository.commit);
  return cache.snapshot_file(q.repository.commit, q.variant.files.front());
}

}  // namespace moraine::hub
