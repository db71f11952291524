// The turns that this server generated, token for token, under the prompts they continued: so that a client's
// echo of one becomes the very tokens that are in the cache (history.h). In memory alone and bounded: what
// was not looked for longest goes first. Knows no messages and no JSON.
#pragma once

#include <moraine/tokenizer.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::server {

struct GeneratedTurn {
  std::vector<TokenId> tokens;  // without the one that ended the turn
  std::string text;             // theirs, as parsers of answers see it
};

// Where a turn began: behind a prompt, whose text is known by its hash. Two prompts of one hash do no harm:
// who looks a turn up compares what it says.
struct TurnPlace {
  uint64_t scope = 0;  // GenerationRequest::cache_scope: nobody finds another key's turns
  std::size_t n_bytes = 0;
  uint64_t hash = 0;
  auto operator<=>(const TurnPlace&) const = default;
};

TurnPlace turn_place(uint64_t scope, std::string_view prompt);

// Thread-safe.
class TurnStore {
 public:
  explicit TurnStore(std::size_t max_bytes = 64u << 20, std::size_t max_turns = 8192)
      : max_bytes_(max_bytes), max_turns_(max_turns) {}

  struct Found {
    std::size_t begin = 0;  // of the turn in the text: the size of its prompt
    std::shared_ptr<const GeneratedTurn> turn;
  };

  void put(const TurnPlace& place, GeneratedTurn turn);
  // All whose prompt is the beginning of `text`: in the order of their places, of one place the newest first.
  // They count as used.
  std::vector<Found> find(uint64_t scope, std::string_view text);

 private:
  struct Entry {
    TurnPlace place;
    std::shared_ptr<const GeneratedTurn> turn;
  };
  using Entries = std::list<Entry>;

  static std::size_t bytes_of(const GeneratedTurn& turn);
  void drop(Entries::iterator entry);

  const std::size_t max_bytes_, max_turns_;
  std::mutex mutex_;
  Entries entries_;  // last used first
  std::multimap<TurnPlace, Entries::iterator> places_;
  std::size_t bytes_ = 0;
};

}  // namespace moraine::server
