#include "cache/disk_store.h"

#include <moraine/error.h>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "plan/backend.h"

namespace moraine::cache {

using std::chrono::steady_clock;

namespace {

constexpr int kWriterNiceness = 10;  // compute goes first
constexpr std::chrono::seconds kPauseAfterFailure{60};
constexpr std::chrono::seconds kCountInterval{60};  // others write into the folder too

}  // namespace

DiskWorker::DiskWorker(std::function<DiskStatus(const DiskJob&)> work, std::function<void()> finished,
                       int niceness)
    : work_(std::move(work)), finished_(std::move(finished)), thread_([this, niceness] { run(niceness); }) {}

DiskWorker::~DiskWorker() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void DiskWorker::add(DiskJob job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

size_t DiskWorker::unfinished() const {
  std::lock_guard lock(mutex_);
  return jobs_.size() + (working_ ? 1 : 0);
}

std::vector<DiskResult> DiskWorker::take_results() {
  std::lock_guard lock(mutex_);
  return std::exchange(results_, {});
}

void DiskWorker::drop() {
  std::unique_lock lock(mutex_);
  jobs_.clear();
  changed_.wait(lock, [&] { return !working_; });
  results_.clear();
}

bool DiskWorker::wait(steady_clock::time_point until) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, until, [&] { return jobs_.empty() && !working_; });
}

void DiskWorker::run(int niceness) {
  // Signals are for others; and a file that grows beyond the process's limit shall be an error, not its end.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  if (niceness != 0) setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), niceness);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closing_ || !jobs_.empty(); });
    if (closing_) return;
    const DiskJob job = std::move(jobs_.front());
    jobs_.pop_front();
    working_ = true;
    lock.unlock();
    DiskStatus status = DiskStatus::kFailed;
    try {
      status = work_(job);
    } catch (const std::exception&) {  // no memory for a copy: the cache is only less
    }
    lock.lock();
    working_ = false;
    results_.push_back({job.id, job.name, status});
    lock.unlock();
    changed_.notify_all();
    finished_();
    lock.lock();
  }
}

DiskStore::DiskStore(const DiskOptions& options, const DiskLayout& layout)
    : root_(options.folder),
      folder_(root_.model(options.model)),
      layout_(layout),
      options_(options),
      writer_([this](const DiskJob& j) { return write_one(j); }, options.wake, kWriterNiceness),
      reader_([this](const DiskJob& j) { return read_one(j); }, options.wake, 0) {
  refresh();
}

DiskStore::~DiskStore() = default;

void DiskStore::refresh() {
  struct stat s{};
  if (::fstat(folder_.get(), &s) != 0) return;
  const bool same = s.st_mtim.tv_sec == listed_.tv_sec && s.st_mtim.tv_nsec == listed_.tv_nsec;
  if (!list_again_.exchange(false) && same) return;
  const int copy = ::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(copy), ::closedir);
  if (!dir) {
    ::close(copy);
    return;
  }
  listed_ = s.st_mtim;
  by_parent_.clear();
  names_.clear();
  while (const dirent* e = ::readdir(dir.get()))
    if (const auto name = DiskName::parse(e->d_name)) add_name(*name);
}

void DiskStore::add_name(const DiskName& name) {
  if (names_.insert(name).second) by_parent_[name.parent.high].push_back(name);
}

void DiskStore::forget(const DiskName& name) {
  if (names_.erase(name) > 0) std::erase(by_parent_[name.parent.high], name);
}

std::span<const DiskName> DiskStore::after(const DiskKey& parent) const {
  const auto at = by_parent_.find(parent.high);
  return at == by_parent_.end() ? std::span<const DiskName>() : at->second;
}

std::optional<std::vector<TokenId>> DiskStore::tokens_of(const DiskName& name, int64_t n_total) const {
  return read_disk_tokens(folder_.get(), name, layout_, n_total);
}

void DiskStore::remove(const DiskName& name) {
  ::unlinkat(folder_.get(), name.text().c_str(), 0);
  forget(name);
}

std::vector<DiskResult> DiskStore::take_written() {
  auto results = writer_.take_results();
  for (const DiskResult& r : results)
    if (r.status == DiskStatus::kOk) add_name(r.name);
  return results;
}

std::vector<DiskResult> DiskStore::take_read() {
  auto results = reader_.take_results();
  for (const DiskResult& r : results)
    if (r.status != DiskStatus::kOk && r.status != DiskStatus::kLost) forget(r.name);
  return results;
}

// ---- On the writer's thread

DiskStatus DiskStore::write_one(const DiskJob& job) {
  const uint64_t bytes = job.page.size + job.state.size + sizeof(TokenId) * job.n_tokens;
  if (bytes > options_.max_bytes / 10 * 9) return DiskStatus::kRefused;
  const auto now = steady_clock::now();
  if (now < silent_until_) return DiskStatus::kFailed;
  const auto status =
      write_disk_file(folder_.get(), job.name, layout_, job.content(), passing_name(n_written_++));
  if (status == DiskStatus::kLost) return status;
  if (status != DiskStatus::kOk) {
    const int cause = errno;
    silent_until_ = now + kPauseAfterFailure;
    // Perhaps the cap is more than the disk has: half of what is there makes room for what is new.
    if (cause == ENOSPC || cause == EDQUOT) bytes_in_folder_ = root_.shrink(root_.use().bytes / 2);
    list_again_ = true;
    if (options_.notice)
      options_.notice(fmt::format(
          "The cache on disk, {}, could not be written: {}. Answers are not affected; the next try "
          "is in {} s.",
          root_.path(), std::strerror(cause), kPauseAfterFailure.count()));
    return status;
  }
  bytes_written_ += bytes;
  touch_chain(job);
  keep_within_cap(bytes);
  return status;
}

// The whole pages that this file continues were used as well. A page's time is a little later than that of
// what follows it: the end of a chain goes before its beginning, without which it is worth nothing.
void DiskStore::touch_chain(const DiskJob& job) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const size_t n_pages = (job.n_tokens - job.name.n_tokens) / plan::kPageTokens;
  DiskKey key = root_key(job.scope);
  for (size_t i = 0; i < n_pages; ++i) {
    DiskName page{key, {}, plan::kPageTokens, false};
    page.key = key = next_key(key, job.tokens().subspan(i * plan::kPageTokens, plan::kPageTokens));
    const int64_t ns = now.tv_nsec + static_cast<int64_t>(n_pages - i) * 1000;
    const timespec time{now.tv_sec + ns / 1'000'000'000, ns % 1'000'000'000};
    const timespec times[2] = {time, time};
    ::utimensat(folder_.get(), page.text().c_str(), times, AT_SYMLINK_NOFOLLOW);
  }
  const timespec times[2] = {now, now};
  ::utimensat(folder_.get(), job.name.text().c_str(), times, AT_SYMLINK_NOFOLLOW);
}

void DiskStore::keep_within_cap(uint64_t written) {
  bytes_in_folder_ += written;
  const auto now = steady_clock::now();
  const bool full = bytes_in_folder_ > options_.max_bytes;
  if (!full && now - counted_ < kCountInterval) return;
  counted_ = now;
  // Some room ahead, so that not every write has to look again.
  bytes_in_folder_ = root_.shrink(full ? options_.max_bytes / 10 * 9 : options_.max_bytes);
  list_again_ = true;
}

// ---- On the reader's thread

DiskStatus DiskStore::read_one(const DiskJob& job) {
  const auto begin = steady_clock::now();
  const auto status = read_disk_file(folder_.get(), job.name, layout_, job.content());
  if (status == DiskStatus::kRefused) {  // it would be refused again
    ::unlinkat(folder_.get(), job.name.text().c_str(), 0);
    if (options_.notice)
      options_.notice(
          fmt::format("A damaged or foreign file in the cache on disk, {}, was removed; its tokens are "
                      "computed again.",
                      root_.path()));
  }
  if (status != DiskStatus::kOk) return status;
  const double bytes = static_cast<double>(job.page.size + job.state.size);
  const double speed = bytes / std::chrono::duration<double>(steady_clock::now() - begin).count();
  read_speed_ = read_speed_ > 0 ? 0.8 * read_speed_ + 0.2 * speed : speed;
  bytes_read_ += static_cast<uint64_t>(bytes);
  touch_chain(job);
  return status;
}

}  // namespace moraine::cache
