// What /v1/responses keeps between requests: each stored response with the conversation it ends, so that the
// next request may name it (previous_response_id) instead of sending everything again. In memory alone and
// bounded: the oldest go first. Knows no shapes: both are JSON text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace moraine::server {

struct StoredResponse {
  uint64_t owner = 0;        // the API key it was made with (key_scope()); another's does not find it
  std::string conversation;  // a JSON array of items: all input, then this response's output
  std::string response;      // the response object
  std::vector<std::pair<std::string, std::string>> output;  // its items: id and JSON text
};

// Thread-safe.
class ResponseStore {
 public:
  explicit ResponseStore(std::size_t max_bytes = 64u << 20, std::size_t max_entries = 1024)
      : max_bytes_(max_bytes), max_entries_(max_entries) {}

  // One that takes more than an eighth of all bytes is not kept: a small request may bring it back to be
  // read.
  void put(const std::string& id, StoredResponse response);
  std::shared_ptr<const StoredResponse> find(uint64_t owner, const std::string& id) const;  // null: none
  bool erase(uint64_t owner, const std::string& id);
  // The JSON text of an output item of any of the owner's; "" where there is none.
  std::string find_item(uint64_t owner, const std::string& item_id) const;

 private:
  static std::size_t bytes_of(const std::string& id, const StoredResponse& response);
  void erase_locked(const std::string& id);

  const std::size_t max_bytes_, max_entries_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const StoredResponse>> responses_;
  std::deque<std::string> order_;  // oldest first
  std::size_t bytes_ = 0;
};

}  // namespace moraine::server
