// What the hub says of a repository: its commit, licence and files with their sizes and sums. Everything in
// its answers is hostile: names of files become paths, sums become file names, so that both are checked
// here, and nothing else of the program sees them unchecked.
#pragma once

#include <moraine/error.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hub/model_name.h"
#include "hub/transfer.h"

namespace moraine::hub {

struct HubOptions {
  std::string endpoint = "https://huggingface.co";  // no slash at its end
  std::string token;                                // empty: none
  TransferOptions transfer;
  int max_attempts = 8;                       // in a row without a byte of progress
  std::chrono::milliseconds first_wait{500};  // then twice as long each time
  std::chrono::seconds longest_wait{300};     // that the hub may ask for
  // Before a wait: why, and how long. On any thread.
  std::function<void(const std::string& why, std::chrono::milliseconds wait)> on_wait;
};

struct RemoteFile {
  std::string path;  // within the repository: relative, without "." and "..", printable
  uint64_t size_bytes = 0;
  std::string sum;  // hex: SHA-256 of the bytes, or where is_git_sum git's SHA-1 of the blob
  bool is_git_sum = false;
};

struct Repository {
  std::string id, commit;  // commit: 40 hex digits
  std::string license;     // "apache-2.0"; empty where it does not say
  bool gated = false;
  std::vector<RemoteFile> files;     // GGUF files only
  std::vector<std::string> refused;  // names that were left out because they are not safe, made printable
};

// Throws Error: kNotFound (no such repository, revision, or not for this token; the message says what to do),
// kUnavailable (nobody answers, or asks for more patience than there is), kIo (answers that are none).
Repository read_repository(const HubOptions& options, const RepoName& name, const std::string& revision);

// The same from the hub's answer. Throws Error{kIo}.
Repository parse_repository(const std::string& json, const std::string& id);

// Of a file's name in a repository: relative, every part a plain name, no control characters.
bool is_safe_path(std::string_view path);

// Bytes of a file, through redirects; at most 64 MiB at once. Throws as read_repository does.
std::string read_range(const HubOptions& options, Connection& connection, const Repository& repository,
                       const RemoteFile& file, ByteRange range);

std::string file_url(const HubOptions& options, const Repository& repository, const RemoteFile& file);

// Why the hub refuses, for a person: a gated repository, a wrong token, a name that is not there.
Error refusal(const HubOptions& options, const Response& response, const std::string& id);

// Waits between attempts at the hub: doubling, or as long as a 429 or 503 asks for.
class Patience {
 public:
  explicit Patience(const HubOptions& options) : options_(options) {}
  // After an answer that may be better another time. Throws the last trouble as Error{kUnavailable} where
  // there were too many, kCancelled.
  void wait(const Response& response, const std::string& what);
  void progress() { attempts_ = 0; }

 private:
  const HubOptions& options_;
  int attempts_ = 0;
};
// Whether another attempt makes sense: no answer, a broken one, 408, 429 or 5xx.
bool is_temporary(const Response& response);

}  // namespace moraine::hub
