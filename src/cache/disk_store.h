// One model's files on disk: which there are, and two threads that write and read them. Knows names and
// bytes; which pages and states to write and what to do with those read is disk_tier.h. One owner calls it
// (the engine's thread); the memory of a job must stay until the job is among the finished ones.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cache/disk_file.h"
#include "cache/disk_folder.h"

namespace moraine::cache {

struct DiskJob {
  uint64_t id = 0;
  DiskName name;
  uint64_t scope = 0;
  std::shared_ptr<const std::vector<TokenId>> sequence;  // shared by the jobs of one chain
  size_t n_tokens = 0;                                   // of it, up to the file's last
  plan::Contents page, state;

  std::span<const TokenId> tokens() const { return std::span(*sequence).first(n_tokens); }
  DiskContent content() const { return {scope, tokens(), page, state}; }
};
struct DiskResult {
  uint64_t id = 0;
  DiskName name;
  DiskStatus status = DiskStatus::kOk;
};

// A thread that does one job after another.
class DiskWorker {
 public:
  // `work` runs on the thread, `finished` after each job. niceness: as nice(2)'s; 0 as the caller.
  DiskWorker(std::function<DiskStatus(const DiskJob&)> work, std::function<void()> finished, int niceness);
  ~DiskWorker();  // after the job in work; what waits is dropped
  void add(DiskJob job);
  size_t unfinished() const;
  std::vector<DiskResult> take_results();
  void drop();  // what waits; returns once nothing is in work
  bool wait(std::chrono::steady_clock::time_point until) const;  // for all of it

 private:
  void run(int niceness);

  std::function<DiskStatus(const DiskJob&)> work_;
  std::function<void()> finished_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<DiskJob> jobs_;
  std::vector<DiskResult> results_;
  bool working_ = false, closing_ = false;
  std::thread thread_;
};

struct DiskOptions {
  std::string folder;
  uint64_t max_bytes = 0;                          // of all models' files together
  std::string model;                               // its folder's name within
  std::function<void()> wake;                      // something finished; called on other threads
  std::function<void(const std::string&)> notice;  // a sentence for people, now and then; on other threads
};

class DiskStore {
 public:
  // Throws Error where the folder cannot be used.
  DiskStore(const DiskOptions& options, const DiskLayout& layout);
  ~DiskStore();
  const DiskLayout& layout() const { return layout_; }

  // Looks what others wrote and removed, if the folder changed.
  void refresh();
  bool contains(const DiskName& name) const { return names_.contains(name); }
  std::span<const DiskName> after(const DiskKey& parent) const;  // good until the next call that changes
  std::optional<std::vector<TokenId>> tokens_of(const DiskName& name, int64_t n_total) const;
  void remove(const DiskName& name);

  void write(DiskJob job) { writer_.add(std::move(job)); }
  size_t writing() const { return writer_.unfinished(); }
  // Those finished since; what was written or was refused is known from here on.
  std::vector<DiskResult> take_written();
  bool wait_written(std::chrono::steady_clock::time_point until) const { return writer_.wait(until); }

  void read(DiskJob job) { reader_.add(std::move(job)); }
  size_t reading() const { return reader_.unfinished(); }
  std::vector<DiskResult> take_read();
  void drop_reads() { reader_.drop(); }

  // What waits is given up; returns once no thread uses a job's memory.
  void drop_all() { reader_.drop(), writer_.drop(); }

  double read_bytes_per_second() const { return read_speed_; }  // 0: nothing was read yet
  uint64_t bytes_written() const { return bytes_written_; }
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  DiskStatus write_one(const DiskJob& job);
  DiskStatus read_one(const DiskJob& job);
  void touch_chain(const DiskJob& job);
  void keep_within_cap(uint64_t written);
  void add_name(const DiskName& name);
  void forget(const DiskName& name);

  DiskFolder root_;
  FolderFd folder_;
  DiskLayout layout_;
  DiskOptions options_;

  std::unordered_map<uint64_t, std::vector<DiskName>> by_parent_;  // by the parent key's high half
  struct Hash {
    size_t operator()(const DiskName& n) const { return n.key.high ^ (n.is_state ? 1 : 0); }
  };
  std::unordered_set<DiskName, Hash> names_;
  struct timespec listed_{};  // the folder's time when it was listed
  std::atomic<bool> list_again_{true};

  // Of the writer.
  uint64_t n_written_ = 0, bytes_in_folder_ = 0;
  std::chrono::steady_clock::time_point counted_{}, silent_until_{};
  std::atomic<uint64_t> bytes_written_{0}, bytes_read_{0};
  std::atomic<double> read_speed_{0};

  DiskWorker writer_, reader_;  // last: their threads use the others
};

}  // namespace moraine::cache
