// The places that generations run in, for people who name them: which conversation ended last in each, and
// its file. What lies in such a file is cache/slot_file.h.
#pragma once

#include <moraine/engine.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cache/slot_file.h"

namespace moraine::engine {

class Slots {
 public:
  // Runs a task on the engine's thread while the caller waits; throws what it throws.
  using OnEngineThread = std::function<void(const std::function<void()>& task)>;

  Slots(cache::MemoryPool& pool, cache::PrefixTree& tree, int32_t n, OnEngineThread on_engine_thread)
      : pool_(pool), tree_(tree), slots_(n), on_engine_thread_(std::move(on_engine_thread)) {}

  // On the engine's thread: a conversation ended there.
  void ended(int32_t slot, uint64_t scope, std::span<const TokenId> tokens) {
    slots_[slot] = {scope, {tokens.begin(), tokens.end()}};
  }

  // On any thread, as Engine's. layout: of this engine's files, asked for on its thread.
  using Layout = std::function<cache::DiskLayout()>;
  SlotReport save(int32_t slot, uint64_t scope, const std::string& path, const Layout& layout);
  SlotReport restore(int32_t slot, uint64_t scope, const std::string& path, const Layout& layout,
                     int32_t n_ctx);
  SlotReport erase(int32_t slot, uint64_t scope);

 private:
  // What ended last in a place.
  struct Slot {
    uint64_t scope = 0;
    std::vector<TokenId> tokens;
  };
  Slot& at(int32_t slot);

  cache::MemoryPool& pool_;
  cache::PrefixTree& tree_;
  std::vector<Slot> slots_;
  OnEngineThread on_engine_thread_;
};

}  // namespace moraine::engine
