#include "server/api/turn_store.h"

#include <algorithm>
#include <utility>

namespace moraine::server {
namespace {

// A prompt that is asked again and again, and each time answered otherwise: an echo is compared with each.
constexpr std::size_t kMostOfAPlace = 128;

constexpr uint64_t kEmptyHash = 0xcbf29ce484222325u;

// FNV-1a, one byte after the other: a longer text's hash goes on from that of its beginning.
uint64_t hash_on(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

TurnPlace turn_place(uint64_t scope, std::string_view prompt) {
  return {scope, prompt.size(), hash_on(kEmptyHash, prompt)};
}

std::size_t TurnStore::bytes_of(const GeneratedTurn& turn) {
  constexpr std::size_t kOverhead = 256;  // of the list's and the table's entries, roughly
  return turn.tokens.size() * sizeof(TokenId) + turn.text.size() + kOverhead;
}

void TurnStore::put(const TurnPlace& place, GeneratedTurn turn) {
  const std::size_t bytes = bytes_of(turn);
  if (bytes > max_bytes_) return;
  auto entry = std::make_shared<const GeneratedTurn>(std::move(turn));
  const std::lock_guard lock(mutex_);
  const auto [first, last] = places_.equal_range(place);
  const auto same =
      std::find_if(first, last, [&](const auto& p) { return p.second->turn->tokens == entry->tokens; });
  if (same != last) {
    entries_.splice(entries_.begin(), entries_, same->second);
    places_.erase(same);  // and again as the newest of its place
  } else {
    entries_.push_front({place, std::move(entry)});
    bytes_ += bytes;
  }
  places_.emplace(place, entries_.begin());
  if (places_.count(place) > kMostOfAPlace) drop(places_.lower_bound(place)->second);
  while (bytes_ > max_bytes_ || entries_.size() > max_turns_) drop(std::prev(entries_.end()));
}

std::vector<TurnStore::Found> TurnStore::find(uint64_t scope, std::string_view text) {
  std::vector<Found> found;
  const std::lock_guard lock(mutex_);
  std::size_t at = 0, first_of_place = 0;
  uint64_t hash = kEmptyHash;
  for (auto it = places_.lower_bound({scope, 0, 0}); it != places_.end(); ++it) {
    const TurnPlace& place = it->first;
    if (place.scope != scope || place.n_bytes > text.size()) break;
    hash = hash_on(hash, text.substr(at, place.n_bytes - at));
    at = place.n_bytes;
    if (place.hash != hash) continue;
    if (found.empty() || found.back().begin != at) first_of_place = found.size();
    found.insert(found.begin() + static_cast<std::ptrdiff_t>(first_of_place), {at, it->second->turn});
    entries_.splice(entries_.begin(), entries_, it->second);
  }
  return found;
}

void TurnStore::drop(Entries::iterator entry) {
  bytes_ -= bytes_of(*entry->turn);
  const auto [first, last] = places_.equal_range(entry->place);
  places_.erase(std::find_if(first, last, [&](const auto& p) { return p.second == entry; }));
  entries_.erase(entry);
}

}  // namespace moraine::server
