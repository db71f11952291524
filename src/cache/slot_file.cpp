#include "cache/slot_file.h"

#include <moraine/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "cache/disk_folder.h"

namespace moraine::cache {
namespace {

constexpr int32_t kPage = plan::kPageTokens;

[[noreturn]] void refuse(ErrorCode code, const std::string& path, const std::string& why) {
  throw Error(code, fmt::format("{} {}.", path, why));
}

[[noreturn]] void device_lost() {
  throw Error(ErrorCode::kDeviceLost, "The device was lost while its memory was copied; try again later.");
}

}  // namespace

SlotFile::File::~File() {
  if (fd >= 0) ::close(fd);
}

template <class Take>
auto SlotFile::taken(Take take) {
  for (;;) {
    if (auto memory = take()) return std::move(*memory);
    if (!tree_.evict_one())
      throw Error(ErrorCode::kOutOfMemory, "There is no memory for this conversation now; try again later.");
  }
}

bool SlotFile::hold(std::span<const TokenId> tokens) {
  auto held = tree_.hold(scope_, tokens);
  if (held.n_tokens == 0) return false;
  tokens_.assign(tokens.begin(), tokens.begin() + held.n_tokens);
  for (int32_t end = kPage; end <= held.n_tokens; end += kPage)
    parts_.push_back({{{}, {}, kPage, false}, end, held.pages[end / kPage - 1], {}, {}, {}, {}});
  if (held.last_in_part || held.state) {
    Part last{{{}, {}, (held.n_tokens - 1) % kPage + 1, held.state != nullptr},
              held.n_tokens,
              {},
              {},
              held.state,
              {},
              {}};
    if (held.last_in_part) {  // its rest may be being written: a copy
      last.page = taken([&] { return pool_.take_page(); });
      pool_.copy_page(last.page.id(), held.pages.back().id());
    }
    parts_.push_back(std::move(last));
  }
  for (Part& p : parts_) {
    if (p.page) p.page_contents = pool_.contents(p.page);
    if (p.state) p.state_contents = pool_.contents(*p.state);
  }
  return true;
}

uint64_t SlotFile::write(const std::string& path) const {
  const std::string passing =
      (std::filesystem::path(path).parent_path() / passing_name(0)).string();  // beside it: a rename is whole
  File file;
  file.fd = ::open(passing.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file.fd < 0) refuse(ErrorCode::kIo, path, fmt::format("cannot be written: {}", std::strerror(errno)));
  uint64_t bytes = 0;
  auto status = DiskStatus::kOk;
  for (const Part& p : parts_)
    if (status == DiskStatus::kOk)
      status =
          write_disk_record(file.fd, p.name, layout_,
                            {scope_, std::span(tokens_).first(p.end), p.page_contents, p.state_contents});
  const bool ok = status == DiskStatus::kOk;
  if (ok) bytes = static_cast<uint64_t>(::lseek(file.fd, 0, SEEK_END));
  if (ok && std::rename(passing.c_str(), path.c_str()) == 0) return bytes;
  const int cause = errno;
  ::unlink(passing.c_str());
  if (status == DiskStatus::kLost) device_lost();
  refuse(ErrorCode::kIo, path, fmt::format("cannot be written: {}", std::strerror(cause)));
}

// The records' sizes follow from their headers, and all tokens lie in the last one.
void SlotFile::open(const std::string& path, int64_t most_tokens) {
  path_ = path;
  const DiskStatus status = open_own_file(AT_FDCWD, path, file_.fd, file_.size);
  if (status == DiskStatus::kMissing) refuse(ErrorCode::kNotFound, path, "does not exist");
  if (status == DiskStatus::kFailed)
    refuse(ErrorCode::kIo, path, fmt::format("cannot be read: {}", std::strerror(errno)));
  const char* foreign = "is no conversation saved by this program with this model, cache types and version";
  if (status != DiskStatus::kOk) refuse(ErrorCode::kCorruptFile, path, foreign);
  uint64_t last_at = 0;
  std::optional<DiskHead> head;
  for (uint64_t at = 0; at < file_.size; at += head->bytes) {
    const int32_t before = parts_.empty() ? 0 : parts_.back().end;
    head = read_disk_head(file_.fd, at, file_.size, layout_);
    if (!head) refuse(ErrorCode::kCorruptFile, path, foreign);
    if (head->scope != scope_) refuse(ErrorCode::kInvalidArgument, path, "was saved with another API key");
    if (head->n_tokens > most_tokens)
      refuse(ErrorCode::kContextOverflow, path,
             fmt::format("holds {} tokens, and the context only {}", head->n_tokens, most_tokens));
    const auto end = static_cast<int32_t>(head->n_tokens);
    // A page after another, and one thing more at the end.
    const bool follows = head->name.has_page() ? end - head->name.n_tokens == before : end == before;
    if (!follows || before % kPage != 0 || (!parts_.empty() && parts_.back().name.is_state))
      refuse(ErrorCode::kCorruptFile, path, foreign);
    parts_.push_back({head->name, end, {}, {}, {}, {}, {}, at});
    last_at = at;
  }
  if (!head) refuse(ErrorCode::kCorruptFile, path, foreign);
  const auto tokens = read_record_tokens(file_.fd, last_at, *head);
  if (!tokens) refuse(ErrorCode::kIo, path, "cannot be read to its end");
  tokens_ = *tokens;
}

void SlotFile::make_room() {
  for (Part& p : parts_) {
    if (p.name.has_page()) {
      p.page = taken([&] { return pool_.take_page(); });
      p.page_contents = pool_.contents(p.page);
    }
    if (p.name.is_state) {
      p.own_state = taken([&] { return pool_.take_state(); });
      p.state_contents = pool_.contents(p.own_state);
    }
  }
}

uint64_t SlotFile::read() {
  for (const Part& p : parts_) {
    const DiskStatus status =
        read_disk_record(file_.fd, p.at, p.name, layout_,
                         {scope_, std::span(tokens_).first(p.end), p.page_contents, p.state_contents});
    if (status == DiskStatus::kLost) device_lost();
    if (status == DiskStatus::kFailed && errno == ENOMEM)
      throw Error(ErrorCode::kOutOfMemory, "There is no memory left to read a saved conversation into.");
    if (status != DiskStatus::kOk) refuse(ErrorCode::kCorruptFile, path_, "is damaged: its checksum says so");
  }
  return file_.size;
}

void SlotFile::join() {
  PrefixTree::Node* node = tree_.last_page(scope_, {});
  const std::span<const TokenId> all = tokens_;
  for (Part& p : parts_) {
    const auto own = all.subspan(p.end - p.name.n_tokens, p.name.n_tokens);
    if (p.name.n_tokens < kPage)
      tree_.keep(node, own, p.page, std::move(p.own_state));
    else if (!p.name.is_state)
      node = tree_.add_page(node, own, p.page);
    else if (!tree_.has_state_at_end(node))
      tree_.keep_at_end(node, std::move(p.own_state));
  }
  parts_.clear();
  tree_.trim();
}

}  // namespace moraine::cache
