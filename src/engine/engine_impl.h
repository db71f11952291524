// The engine's class. What it does is in three files: engine.cpp loads, takes requests and has the thread's
// loop; admission.cpp decides who runs, and with what memory; step.cpp runs one step. A generation's own
// state is sequence.h.
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cache/disk_tier.h"
#include "cache/timeline.h"
#include "engine/batch.h"
#include "engine/identity.h"
#include "engine/pace.h"
#include "engine/prepared.h"
#include "engine/slots.h"
#include "engine/speculator.h"

namespace moraine::engine {

class EngineImpl final : public Engine {
 public:
  EngineImpl(const EngineOptions& options, const ProgressFn& progress);
  ~EngineImpl() override;

  const ModelInfo& info() const override { return info_; }
  const MemoryEstimate& memory() const override { return prepared_.memory; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  EngineStats stats() const override;
  std::shared_ptr<Generation> generate(GenerationRequest request,
                                       std::shared_ptr<GenerationSink> sink) override;
  SlotReport save_slot(int32_t slot, uint64_t scope, const std::string& path) override {
    return slots_.save(slot, scope, path, [this] { return disk_layout(); });
  }
  SlotReport restore_slot(int32_t slot, uint64_t scope, const std::string& path) override {
    return slots_.restore(slot, scope, path, [this] { return disk_layout(); }, info_.n_ctx);
  }
  SlotReport erase_slot(int32_t slot, uint64_t scope) override { return slots_.erase(slot, scope); }

 private:
  // engine.cpp
  void open_disk();
  void run();
  // Between two steps, while the caller waits. Throws what `task` throws, Error{kUnavailable} at the end.
  void on_engine_thread(const std::function<void()>& task);
  void run_errands();
  cache::DiskLayout disk_layout();
  std::shared_ptr<Sequence> remove(Sequence* s, bool keep);
  void fail(Sequence* s, const Error& error, bool keep = true);
  void recover();

  // admission.cpp
  bool admit();  // false: the engine is closing
  bool waits_for_disk(Sequence& s);
  bool has_room_for(const Sequence& s);
  bool waits_for_company(const Sequence& s) const;
  int32_t free_slot(int32_t wanted) const;
  void drop_cancelled();
  bool make_room(Sequence& s, int32_t n);
  void suspend(Sequence* s);
  Error no_memory() const;
  void tell_refusal();
  void relieve_memory();

  // step.cpp
  void schedule();
  plan::Status forward();
  void collect(plan::Status status);

  EngineOptions options_;
  Speculator speculator_;  // before what it leaves room for
  Prepared prepared_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ModelInfo info_;
  int32_t max_rows_;
  cache::MemoryPool pool_;
  cache::PrefixTree tree_;
  int64_t logits_stride_;
  std::unique_ptr<float[]> logits_;
  Batch batch_;
  Pace pace_;
  Slots slots_;
  std::optional<ModelIdentity> identity_;
  bool lost_ = false;  // the device is, and everybody's memory with it
  bool refusal_told_ = false;
  size_t first_prefill_ = 0;  // whose turn it is among those that prefill
  Clock::time_point next_relief_{};

  mutable std::mutex mutex_;  // guards waiting_, running_'s size, stats_, errands_, closing_, disk_event_
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Sequence>> waiting_;
  std::vector<std::shared_ptr<Sequence>> running_;
  EngineStats stats_;
  std::deque<std::packaged_task<void()>> errands_;
  bool closing_ = false;
  bool disk_event_ = false;                // something was read or written
  std::unique_ptr<cache::DiskTier> disk_;  // null: none. Its threads use what stands above
  std::thread thread_;
};

}  // namespace moraine::engine
