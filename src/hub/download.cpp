// Workers take stretches of missing pieces in ascending order and read each as one range. The thread of the
// sum follows the first gap, so that a file is checked soon after its last byte came.
#include "hub/download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "hub/checksum.h"
#include "hub/piece_map.h"

namespace moraine::hub {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMostPiecesAtOnce = 64;  // 64 MiB: a request's round trip is nothing beside it
constexpr size_t kFewestPiecesAtOnce = 4;
constexpr uint64_t kFlushBytes = 256 << 20;  // lost at most when the machine itself goes down
constexpr int kMaxRedirects = 5;
// A redirect's address expires; so often in a row it is asked for anew.
constexpr int kMaxNewAddresses = 3;

std::filesystem::path map_path(const Download& d) { return d.partial.string() + ".pieces"; }

// "bytes 0-99/1000" -> 0, 99, 1000
struct ContentRange {
  uint64_t first = 0, last = 0, total = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view text) {
  ContentRange r;
  const auto number = [&](std::string_view before, uint64_t& out) {
    if (!text.starts_with(before)) return false;
    text.remove_prefix(before.size());
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return true;
  };
  if (!number("bytes ", r.first) || !number("-", r.last) || !number("/", r.total) || !text.empty()) return {};
  return r;
}

std::string without_quotes(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

class Fetch {
 public:
  Fetch(const HubOptions& options, const Download& download)
      : options_(options),
        d_(download),
        map_(open_data()),
        bytes_done_(map_.bytes_there()),
        bytes_resumed_(bytes_done_),
        taken_(map_.n_pieces(), false) {
    options_.transfer.cancelled = &stop_;
  }
  ~Fetch() { ::close(fd_); }

  void run() {
    const size_t n_missing_pieces = count_missing();
    const size_t n = std::clamp<size_t>(n_missing_pieces / kFewestPiecesAtOnce, 1,
                                        static_cast<size_t>(std::max(1, d_.n_connections)));
    {
      std::vector<std::jthread> threads;
      if (n_missing_pieces > 0)
        for (size_t i = 0; i < n; ++i) threads.emplace_back([this] { guarded([this] { work(); }); });
      threads.emplace_back([this] { guarded([this] { check(); }); });
      // Whatever leaves this block stops the threads first: they are joined where it ends.
      struct Stopper {
        Fetch& f;
        ~Stopper() { f.stop(); }
      } stopper{*this};
      std::unique_lock lock(mutex_);
      while (!error_ && sum_.empty()) {
        changed_.wait_for(lock, 100ms);
        if (outer_cancelled()) {
          error_ = Error(ErrorCode::kCancelled, "Stopped.");
          break;
        }
        const DownloadProgress p{bytes_done_, d_.file.size_bytes, bytes_resumed_, bytes_checked_};
        if (!d_.on_progress) continue;
        lock.unlock();
        d_.on_progress(p);
        lock.lock();
      }
    }
    if (error_) throw *error_;
    finish();
  }

 private:
  // The file as an earlier run left it, or a new one, and its map.
  PieceMap open_data() {
    fd_ = ::open(d_.partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd_ < 0) fail_io("be made");
    try {
      const off_t size = ::lseek(fd_, 0, SEEK_END);
      const auto wanted = static_cast<off_t>(d_.file.size_bytes);
      // Of its full length from the start: a sparse file takes no more than what is written.
      if (size != wanted && ::ftruncate(fd_, wanted) != 0) fail_io("be made");
      return PieceMap(map_path(d_), d_.file.size_bytes, size == wanted, PieceMap::this_boot());
    } catch (...) {
      ::close(fd_);
      throw;
    }
  }

  [[noreturn]] void fail_io(const char* what) const {
    if (errno == ENOSPC || errno == EDQUOT)
      throw Error(
          ErrorCode::kIo,
          fmt::format("The disk is full: {} could not {}. What came is kept: make room and run the same "
                      "command again, it goes on from there.",
                      d_.partial.string(), what));
    throw Error(ErrorCode::kIo,
                fmt::format("{} could not {}: {}.", d_.partial.string(), what, std::strerror(errno)));
  }

  bool outer_cancelled() const { return outer_ && *outer_; }

  void stop() {
    const std::lock_guard lock(mutex_);  // or one that is about to wait would miss it
    stop_ = true;
    changed_.notify_all();
  }

  // A thread's end: the first trouble is kept, and stops the others.
  template <class Fn>
  void guarded(Fn&& fn) noexcept {
    std::optional<Error> error;
    try {
      fn();
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kCancelled) return;
      error = e;
    } catch (const std::bad_alloc&) {
      error = Error(ErrorCode::kOutOfMemory, "There is not enough memory to fetch a file.");
    } catch (const std::exception& e) {
      error = Error(ErrorCode::kInternal, e.what());
    }
    if (!error) return;
    {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = error;
    }
    stop();
  }

  size_t count_missing() {
    size_t n = 0;
    for (size_t i = 0; i < map_.n_pieces(); ++i) n += !map_.has(i);
    return n;
  }

  // ---- workers

  struct Stretch {
    size_t first = 0, end = 0;  // pieces
  };

  // The next missing stretch that nobody reads; nothing: none is left to take.
  std::optional<Stretch> take() {
    std::lock_guard lock(mutex_);
    if (stop_) return {};
    size_t n_left = 0;
    for (size_t i = 0; i < map_.n_pieces(); ++i) n_left += !map_.has(i) && !taken_[i];
    if (n_left == 0) return {};
    const size_t most = std::clamp(n_left / (2 * static_cast<size_t>(std::max(1, d_.n_connections))),
                                   kFewestPiecesAtOnce, kMostPiecesAtOnce);
    Stretch s;
    while (map_.has(s.first) || taken_[s.first]) ++s.first;
    for (s.end = s.first;
         s.end < map_.n_pieces() && s.end - s.first < most && !map_.has(s.end) && !taken_[s.end]; ++s.end)
      taken_[s.end] = true;
    return s;
  }

  void give_back(const Stretch& s) {
    std::lock_guard lock(mutex_);
    for (size_t i = s.first; i < s.end; ++i) taken_[i] = false;
  }

  void work() {
    Connection connection(options_.transfer);
    Patience patience(options_);
    while (!whole_only_) {
      const std::optional<Stretch> stretch = take();
      if (!stretch) return;
      try {
        read(connection, patience, *stretch);
      } catch (...) {
        give_back(*stretch);
        throw;
      }
      give_back(*stretch);  // what has arrived counts as there; the rest is anybody's
    }
    // A server that knows no ranges: one connection reads it all.
    if (whole_taken_.exchange(true)) return;
    while (!stop_ && count_missing_locked() > 0) read(connection, patience, {0, map_.n_pieces()});
  }

  size_t count_missing_locked() {
    std::lock_guard lock(mutex_);
    return count_missing();
  }

  // Reads a stretch to its end, over as many answers as it takes; less where another thread failed, or the
  // server turns out to know no ranges.
  void read(Connection& connection, Patience& patience, const Stretch& stretch) {
    const bool whole = whole_only_;
    const uint64_t begin = map_.begin_of(stretch.first), end = map_.end_of(stretch.end - 1);
    for (uint64_t position = begin; position < end && !stop_ && whole_only_ == whole;) {
      if (whole) position = 0;
      const uint64_t there_before = bytes_there();
      const uint64_t position_before = position;
      const Response r = read_once(connection, position, end, whole);
      if (whole ? bytes_there() > there_before : position > position_before) patience.progress();
      if (position == end || stop_ || whole_only_ != whole) return;
      reset_address();
      if (is_temporary(r)) patience.wait(r, d_.file.path);
    }
  }

  // One answer for [position, end), through redirects; moves `position` by what was written. A refusal that
  // another address may mend comes back as it is.
  Response read_once(Connection& connection, uint64_t& position, uint64_t end, bool whole) {
    std::string url = current_address();
    for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
      Request request{.url = url};
      const bool at_hub = origin_of(url) == origin_of(options_.endpoint);
      if (at_hub) request.token = options_.token;
      if (!whole) request.range = ByteRange{position, end};
      std::string trouble;  // of an answer that is not what was asked for
      request.on_headers = [&](const Response& r) {
        require_same_file(r, origin_of(url));
        if (r.status == 206 && !whole) {
          const auto range = parse_content_range(r.header("content-range"));
          if (range && range->first == position && range->last < end && range->total == d_.file.size_bytes)
            return true;
          trouble = "it sends another part of the file than was asked for";
        } else if (r.status == 200) {
          if (position == 0 && end == d_.file.size_bytes) return true;
          whole_only_ = true;  // it knows no ranges
        } else {
          trouble = fmt::format("it answers with status {}", r.status);
        }
        return false;
      };
      request.on_body = [&](std::span<const std::byte> bytes) {
        if (bytes.size() > end - position) {
          trouble = "it sends more than was asked for";
          return false;
        }
        write(position, bytes);
        position += bytes.size();
        return !stop_;
      };
      Response r = send(connection, request);
      if (r.status >= 300 && r.status < 400) {
        if (at_hub) require_same_link(r);
        url = redirect_target(url, std::string(r.header("location")));
        if (url.empty())
          throw Error(ErrorCode::kIo,
                      fmt::format("{} redirects {} to no safe address.", options_.endpoint, d_.file.path));
        set_address(url);
        continue;
      }
      if (r.status >= 400 && !is_temporary(r)) {
        // Away from the hub an address expires, and a new one is asked for. The hub's own no is final.
        if (at_hub) throw refusal(options_, r, d_.repository);
        if (++new_addresses_ > kMaxNewAddresses)
          throw Error(ErrorCode::kUnavailable, fmt::format("{} sends to an address for {} that answers with "
                                                           "status {}, again and again. What came is kept: "
                                                           "try again later.",
                                                           options_.endpoint, d_.file.path, r.status));
        return r;
      }
      if (!trouble.empty()) r.problem = trouble;
      if (r.ok() && position < end && !stop_ && whole_only_ == whole) r.problem = "the answer broke off";
      if (position == end) new_addresses_ = 0;
      return r;
    }
    throw Error(ErrorCode::kIo, fmt::format("{} is redirected without an end.", d_.file.path));
  }

  uint64_t bytes_there() {
    std::lock_guard lock(mutex_);
    return bytes_done_;
  }

  // A callback may not throw through libcurl: its error is kept and thrown here.
  Response send(Connection& connection, Request& request) {
    std::optional<Error> error;
    const auto caught = [&error](const auto& fn, const auto& argument) {
      try {
        return fn(argument);
      } catch (const Error& e) {
        error = e;
        return false;
      }
    };
    const auto on_headers = request.on_headers;
    const auto on_body = request.on_body;
    request.on_headers = [&](const Response& r) { return caught(on_headers, r); };
    request.on_body = [&](std::span<const std::byte> bytes) { return caught(on_body, bytes); };
    Response r = connection.send(request);
    if (error) throw *error;
    return r;
  }

  // The hub says of each file which blob it is; of a commit that never changes.
  void require_same_link(const Response& r) const {
    const std::string etag = without_quotes(r.header("x-linked-etag"));
    if (!etag.empty() && etag.size() == d_.file.sum.size() && etag != d_.file.sum) changed_on_hub();
    const std::string_view size = r.header("x-linked-size");
    if (!size.empty() && size != std::to_string(d_.file.size_bytes)) changed_on_hub();
  }
  // Of one server, all answers must be of one file.
  void require_same_file(const Response& r, const std::string& origin) {
    if (origin == origin_of(options_.endpoint)) require_same_link(r);
    const std::string etag = without_quotes(r.header("etag"));
    if (etag.empty()) return;
    std::lock_guard lock(mutex_);
    if (const auto [at, is_new] = etags_.emplace(origin, etag); !is_new && at->second != etag) {
      discard_ = true;
      changed_on_hub();
    }
  }
  [[noreturn]] void changed_on_hub() const {
    throw Error(
        ErrorCode::kCorruptFile,
        fmt::format("{} was changed on the server while it was fetched. Run the same command again to "
                    "fetch what is there now.",
                    d_.file.path));
  }

  void write(uint64_t position, std::span<const std::byte> bytes) {
    size_t written = 0;
    while (written < bytes.size()) {
      const ssize_t n = ::pwrite(fd_, bytes.data() + written, bytes.size() - written,
                                 static_cast<off_t>(position + written));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail_io("be written");
      written += static_cast<size_t>(n);
    }
    // Pieces whose last byte came with these: a stretch begins with a whole one, and is written in order.
    const uint64_t now = position + bytes.size();
    std::lock_guard lock(mutex_);
    for (size_t i = position / PieceMap::kPieceBytes; i < map_.n_pieces() && map_.end_of(i) <= now; ++i) {
      if (map_.has(i)) continue;
      map_.set_written(i);
      bytes_done_ += map_.end_of(i) - map_.begin_of(i);
      bytes_unflushed_ += map_.end_of(i) - map_.begin_of(i);
      changed_.notify_all();
    }
  }

  // ---- where the bytes are

  std::string current_address() {
    std::lock_guard lock(mutex_);
    return address_.empty() ? d_.url : address_;
  }
  void set_address(const std::string& url) {
    std::lock_guard lock(mutex_);
    address_ = url;
  }
  void reset_address() {
    std::lock_guard lock(mutex_);
    address_.clear();
  }

  // ---- the sum

  void check() {
    Checksum sum = d_.file.is_git_sum ? Checksum::git_blob(d_.file.size_bytes) : Checksum::sha256();
    std::vector<std::byte> buffer(PieceMap::kPieceBytes);
    for (size_t piece = 0; piece < map_.n_pieces(); ++piece) {
      if (!wait_for(piece)) return;
      const uint64_t begin = map_.begin_of(piece), n = map_.end_of(piece) - begin;
      uint64_t got = 0;
      while (got < n) {
        const ssize_t r = ::pread(fd_, buffer.data() + got, n - got, static_cast<off_t>(begin + got));
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) fail_io("be read back");
        got += static_cast<uint64_t>(r);
      }
      sum.add(std::span(buffer).first(n));
      bytes_checked_ += n;
    }
    std::lock_guard lock(mutex_);
    sum_ = sum.hex();
    changed_.notify_all();
  }

  // Until the piece is there, flushing what came meanwhile now and then; false: all stops.
  bool wait_for(size_t piece) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stop_ || map_.has(piece) || bytes_unflushed_ >= kFlushBytes; });
      if (stop_) return false;
      if (bytes_unflushed_ < kFlushBytes) return true;
      bytes_unflushed_ = 0;
      const std::vector<size_t> pieces = map_.written();
      lock.unlock();
      if (::fdatasync(fd_) != 0) fail_io("be flushed");
      lock.lock();
      map_.set_flushed(pieces);
    }
  }

  void finish() {
    if (sum_ != d_.file.sum) {
      remove_partial();
      throw Error(ErrorCode::kCorruptFile,
                  fmt::format("{} came with the sum {}, but the hub names {}: damaged on the way, or not "
                              "what it should be. It was removed. "
                              "Run the same command again; if this repeats, do not trust the server.",
                              d_.file.path, sum_, d_.file.sum));
    }
    if (::fsync(fd_) != 0) fail_io("be flushed");
    std::error_code ignored;
    std::filesystem::remove(map_path(d_), ignored);
  }

 public:
  void remove_partial() noexcept {
    std::error_code ignored;
    std::filesystem::remove(d_.partial, ignored);
    std::filesystem::remove(map_path(d_), ignored);
  }
  bool must_discard() const { return discard_; }

 private:
  HubOptions options_;
  const Download& d_;
  const std::atomic<bool>* outer_ = options_.transfer.cancelled;
  int fd_ = -1;
  std::mutex mutex_;  // for all below but the atomics
  std::condition_variable changed_;
  PieceMap map_;
  uint64_t bytes_done_ = 0, bytes_resumed_ = 0, bytes_unflushed_ = 0;
  std::vector<bool> taken_;
  std::string address_;                       // where the hub sent us; empty: ask it
  std::map<std::string, std::string> etags_;  // by origin
  std::optional<Error> error_;
  std::string sum_;  // once it is known
  bool discard_ = false;
  std::atomic<uint64_t> bytes_checked_ = 0;
  std::atomic<bool> stop_ = false, whole_only_ = false, whole_taken_ = false;
  std::atomic<int> new_addresses_ = 0;
};

}  // namespace

uint64_t bytes_left_by_earlier_run(const Download& d) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(d.partial, error) ||
      std::filesystem::file_size(d.partial, error) != d.file.size_bytes ||
      !std::filesystem::is_regular_file(map_path(d), error))
    return 0;
  return PieceMap::bytes_recorded(map_path(d), d.file.size_bytes, PieceMap::this_boot());
}

void fetch_file(const HubOptions& options, const Download& download) {
  Fetch fetch(options, download);
  try {
    fetch.run();
  } catch (const Error&) {
    if (fetch.must_discard()) fetch.remove_partial();
    throw;
  }
}

}  // namespace moraine::hub
