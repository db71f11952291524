// Between the tree in memory and the files on disk: what the tree keeps is written in the background, and
// what a prompt begins with is read back when the disk knows more of it than memory does. Which pieces are
// worth a file is the tree's to say (prefix_tree_save.cpp), how files are written disk_store.h's. For the
// engine's thread; the disk itself is only touched on two others, but for listings of names.
#pragma once

#include <chrono>
#include <map>

#include "cache/disk_store.h"
#include "cache/prefix_tree.h"

namespace moraine::cache {

class DiskTier {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    DiskOptions store;
    uint64_t identity = 0;                     // DiskLayout's
    std::chrono::milliseconds settle{10'000};  // a state that stands so long is written
  };
  // Throws Error where the folder cannot be used.
  DiskTier(MemoryPool& pool, PrefixTree& tree, const Options& options, uint64_t page_bytes,
           uint64_t state_bytes);
  ~DiskTier();

  // Between steps: lets go of what was written and hands the writer what comes next.
  void save();
  // Before the end: all that is worth it, settled or not, as long as there is time.
  void save_all(Clock::time_point until);

  enum class Restore : uint8_t {
    kNothing,  // the disk knows no more of these tokens than memory, or it would not be quicker
    kReading,  // ask again later: something finished (DiskOptions::wake)
    kBusy,     // as kReading, but for somebody else
    kDone,     // what could be read is in the tree, and stays until release()
  };
  // Reads what the disk knows of these tokens' beginning, for `owner`, one at a time. seconds_per_token: what
  // computing one takes; 0: not known.
  Restore restore(const void* owner, PrefixTree::Scope scope, std::span<const TokenId> tokens,
                  double seconds_per_token);
  int32_t restored_tokens() const {
    return n_restored_;
  }  // of the last kDone: those that memory did not know
  void release(const void* owner);  // also gives up what is being read for it
  // Gives up what is being read and written: all memory is about to go, as its device was lost.
  void let_go();
  // Gives up what is being read, for memory; false: nothing was.
  bool give_way();

  uint64_t bytes_written() const { return store_.bytes_written(); }
  uint64_t bytes_read() const { return store_.bytes_read(); }

 private:
  // What is to be read: whole pages one after another, then perhaps what goes beyond them.
  struct Part {
    DiskName name;
    int32_t end;  // tokens up to its end
    PageRef page;
    StateRef state;
  };
  struct Reading {
    const void* owner = nullptr;
    PrefixTree::Scope scope = 0;
    std::vector<TokenId> tokens;       // the prompt's, and what the last file has beyond it
    PrefixTree::Node* node = nullptr;  // what there is so far, pinned
    std::vector<Part> parts;
    size_t n_done = 0;
    int32_t n_known = 0;  // that memory had
    uint64_t first_id = 0;
    int tries = 1;
  };
  std::vector<Part> plan(PrefixTree::Scope scope, std::span<const TokenId> tokens, std::vector<TokenId>& read,
                         int32_t& n_known);
  bool start(const void* owner, PrefixTree::Scope scope, std::span<const TokenId> tokens,
             double seconds_per_token);
  bool take_read();
  bool start_again(std::span<const TokenId> tokens, double seconds_per_token);
  void join(Part part);
  void stop_reading();
  std::optional<PageRef> take_page();
  std::optional<StateRef> take_state();

  MemoryPool& pool_;
  PrefixTree& tree_;
  std::chrono::milliseconds settle_;
  Clock::time_point next_look_{}, next_listing_{};
  std::map<uint64_t, PrefixTree::Piece> writing_;  // by job
  uint64_t next_id_ = 1;
  std::optional<Reading> reading_;
  int32_t n_restored_ = 0;
  DiskStore store_;  // last: its threads use the memory of the others
};

}  // namespace moraine::cache
