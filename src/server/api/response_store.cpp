#include "server/api/response_store.h"

#include <algorithm>
#include <utility>

namespace moraine::server {

std::size_t ResponseStore::bytes_of(const std::string& id, const StoredResponse& response) {
  constexpr std::size_t kOverhead = 512;  // of the tables' entries, roughly
  std::size_t bytes = id.size() + response.conversation.size() + response.response.size() + kOverhead;
  for (const auto& [item_id, item] : response.output) bytes += item_id.size() + item.size() + kOverhead;
  return bytes;
}

void ResponseStore::put(const std::string& id, StoredResponse response) {
  const std::size_t bytes = bytes_of(id, response);
  if (bytes > max_bytes_ / 8) return;
  auto entry = std::make_shared<const StoredResponse>(std::move(response));
  const std::lock_guard lock(mutex_);
  erase_locked(id);
  while (!order_.empty() && (bytes_ + bytes > max_bytes_ || order_.size() >= max_entries_)) {
    erase_locked(std::string(order_.front()));
  }
  responses_.emplace(id, std::move(entry));
  order_.push_back(id);
  bytes_ += bytes;
}

std::shared_ptr<const StoredResponse> ResponseStore::find(uint64_t owner, const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto it = responses_.find(id);
  return it == responses_.end() || it->second->owner != owner ? nullptr : it->second;
}

bool ResponseStore::erase(uint64_t owner, const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto it = responses_.find(id);
  if (it == responses_.end() || it->second->owner != owner) return false;
  erase_locked(id);
  return true;
}

std::string ResponseStore::find_item(uint64_t owner, const std::string& item_id) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, stored] : responses_) {
    if (stored->owner != owner) continue;
    for (const auto& [known, item] : stored->output) {
      if (known == item_id) return item;
    }
  }
  return "";
}

void ResponseStore::erase_locked(const std::string& id) {
  const auto it = responses_.find(id);
  if (it == responses_.end()) return;
  bytes_ -= bytes_of(id, *it->second);
  responses_.erase(it);
  order_.erase(std::find(order_.begin(), order_.end(), id));
}

}  // namespace moraine::server
