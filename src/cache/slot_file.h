// One conversation in a file of its own, for whoever wants to keep or move it: the records of disk_file.h one
// after another, whole pages and then what goes beyond them. In three steps, because a page may be taken and
// given back by the engine's thread alone, and a file is slow: hold() or make_room() there, write() or read()
// on any thread, and join() or the destructor there again.
#pragma once

#include <string>
#include <vector>

#include "cache/disk_file.h"
#include "cache/prefix_tree.h"

namespace moraine::cache {

class SlotFile {
 public:
  // Throws Error{kInvalidArgument} where the layout's backend keeps nothing (no bytes to be had).
  SlotFile(MemoryPool& pool, PrefixTree& tree, const DiskLayout& layout, PrefixTree::Scope scope)
      : pool_(pool), tree_(tree), layout_(layout), scope_(scope) {}

  // What the tree has of these tokens. False: nothing. Throws Error{kOutOfMemory}.
  bool hold(std::span<const TokenId> tokens);
  // Throws Error{kIo, kDeviceLost}. Returns the file's bytes.
  uint64_t write(const std::string& path) const;

  // The file's plan, and its tokens. Throws Error{kNotFound, kIo, kCorruptFile, kContextOverflow}.
  void open(const std::string& path, int64_t most_tokens);
  // Throws Error{kOutOfMemory}.
  void make_room();
  // Throws Error{kCorruptFile, kDeviceLost}. Returns the bytes read.
  uint64_t read();
  void join();  // what was read becomes the tree's

  const std::vector<TokenId>& tokens() const { return tokens_; }

 private:
  struct Part {
    DiskName name;
    int32_t end;
    PageRef page;
    StateRef own_state;
    std::shared_ptr<const StateRef> state;
    plan::Contents page_contents, state_contents;
    uint64_t at = 0;  // in the file
  };
  class File {
   public:
    ~File();
    int fd = -1;
    uint64_t size = 0;
  };
  template <class Take>
  auto taken(Take take);

  MemoryPool& pool_;
  PrefixTree& tree_;
  DiskLayout layout_;
  PrefixTree::Scope scope_;
  std::vector<TokenId> tokens_;
  std::vector<Part> parts_;
  File file_;
  std::string path_;
};

}  // namespace moraine::cache
