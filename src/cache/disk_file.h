// One file of the cache on disk: a page of keys and values, or a recurrent state with the beginning of the
// page it lies in, and all tokens that led there. Owns the format and what is refused; which files there are
// is disk_store.h, where they lie disk_folder.h.
//
//   128 bytes  header (DiskFile's cpp), its own checksum among them
//   4 each     the tokens from the first one to where this file ends
//              the page, if the file has one: all of it, whatever the tokens fill of it
//              the state, if the file has one
//
// Every number is little-endian. A file is served only when its header, its size, its tokens and the
// checksum over all of it are what the reader expects: no hash stands in for the tokens.
#pragma once

#include <moraine/sampling.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plan/backend.h"

namespace moraine::cache {

// What tokens led to a place, and under whose scope: a chain of hashes, page by page. Names files; proves
// nothing.
struct DiskKey {
  uint64_t high = 0, low = 0;
  bool operator==(const DiskKey&) const = default;
};
DiskKey root_key(uint64_t scope);
DiskKey next_key(const DiskKey& parent, std::span<const TokenId> tokens);

// A file's name says where it hangs: after which whole pages, how many tokens it goes beyond them.
struct DiskName {
  DiskKey parent, key;   // before and after its tokens
  int32_t n_tokens = 0;  // 1 to a page
  bool is_state = false;

  // A state at a page's end comes without the page, which has a file of its own.
  bool has_page() const;
  std::string text() const;
  static std::optional<DiskName> parse(std::string_view text);
  bool operator==(const DiskName&) const = default;
};

// What all files of one model and its numerics share. Bytes.
struct DiskLayout {
  uint64_t identity = 0;  // of model, numerics and cache types
  uint64_t page_bytes = 0, state_bytes = 0;
};

struct DiskContent {
  uint64_t scope = 0;
  std::span<const TokenId> tokens;  // from the sequence's first to the file's last
  plan::Contents page, state;       // to read into or to write from; none where the name has none
};

enum class DiskStatus : uint8_t {
  kOk,
  kMissing,  // not there, or no longer
  kRefused,  // not what the name, the layout or the checksum say
  kFailed,   // the system refused; errno says why
  kLost,     // the device that has the page or the state failed
};

// Writes under a passing name and then renames: under its own name a file is whole, whoever dies when.
// Nothing is forced onto the disk: what a power cut leaves half written, the checksum finds.
DiskStatus write_disk_file(int folder, const DiskName& name, const DiskLayout& layout,
                           const DiskContent& content, const std::string& passing_name);
// page and state hold anything unless the result is kOk.
DiskStatus read_disk_file(int folder, const DiskName& name, const DiskLayout& layout,
                          const DiskContent& content);
// The same for a record within a file that holds several (slot_file.h): writes at the descriptor's place, the
// header last.
DiskStatus write_disk_record(int fd, const DiskName& name, const DiskLayout& layout,
                             const DiskContent& content);
DiskStatus read_disk_record(int fd, uint64_t at, const DiskName& name, const DiskLayout& layout,
                            const DiskContent& content);
// What the record at `at` says of itself; nothing where none of this layout lies there, whole.
struct DiskHead {
  DiskName name;  // without its keys
  uint64_t scope = 0;
  int64_t n_tokens = 0;  // from the sequence's first to the record's last
  uint64_t bytes = 0;    // of the record
};
std::optional<DiskHead> read_disk_head(int fd, uint64_t at, uint64_t file_bytes, const DiskLayout& layout);
// All tokens up to the record's last; not checked against anything.
std::optional<std::vector<TokenId>> read_record_tokens(int fd, uint64_t at, const DiskHead& head);
// Opens a regular file of this user's and nothing else.
DiskStatus open_own_file(int folder, const std::string& name, int& fd, uint64_t& size);

// The file's own tokens (name.n_tokens of them), of a file that ends after n_total; nothing where it is not
// one of these. Nothing is promised for them: the checksum is not looked at.
std::optional<std::vector<TokenId>> read_disk_tokens(int folder, const DiskName& name,
                                                     const DiskLayout& layout, int64_t n_total);

}  // namespace moraine::cache
