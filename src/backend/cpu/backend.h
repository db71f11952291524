// The CPU backend: weights in one re-laid mapping, KV pages, and plans run as stages on a thread pool.
// Owns memory and dispatch; how a plan becomes stages is executable.h, tiling is stage_*.cpp,
// intrinsics are kernels/ alone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/layout.h"
#include "base/thread_pool.h"
#include "plan/backend.h"
#include "plan/kv_layout.h"

namespace moraine::cpu {

// The best kernels this CPU runs, or those of `isa` ("scalar", "avx2"). Throws Error{kUnsupported}
// for one that this build or CPU lacks, naming those it has.
const Kernels& select_kernels(const std::string& isa);
std::vector<std::string> available_isas();

// Anonymous memory in huge pages where the system gives them; zeroed; untouched pages cost nothing.
class Mapping {
 public:
  explicit Mapping(uint64_t bytes);  // throws Error{kOutOfMemory}
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

// A weight as it lies in memory. Matrices: groups of eight interleaved rows. Vectors: float32.
struct CpuWeight {
  plan::Weight decl;
  const Layout* layout = nullptr;  // null for vectors
  uint8_t* data = nullptr;
  int64_t group_bytes = 0;
  int32_t n_groups = 0;

  const float* vector() const { return reinterpret_cast<const float*>(data); }
  int64_t row_bytes() const { return static_cast<int64_t>(dtype_bytes(decl.dtype, decl.cols)); }
};

// Equal pieces of memory by a small id, mapped one by one. Freeing needs no memory.
class Slots {
 public:
  int32_t allocate(uint64_t bytes);  // throws Error{kOutOfMemory}
  void free(int32_t id) noexcept;
  const Mapping& get(int32_t id) const { return *memory_[id]; }

 private:
  std::vector<std::unique_ptr<Mapping>> memory_;  // null where free
  std::vector<int32_t> free_;
};

class CpuBackend final : public plan::Backend {
 public:
  struct Options {
    int32_t n_threads = 0;        // 0: usable_cores()
    std::string isa;              // "": the best
    int32_t n_threads_batch = 0;  // for steps that read a prompt; 0: as n_threads
  };
  explicit CpuBackend(const Options& options);
  ~CpuBackend() override;

  std::string describe() const override;
  void declare_weights(std::vector<plan::Weight> weights) override;
  void write_weight(plan::WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) override;
  uint64_t weight_bytes() const override { return weight_memory_ ? weight_memory_->size() : 0; }
  static uint64_t weight_bytes_needed(const plan::Weight& w);

  void set_kv(const plan::KvShape& shape, KvType k, KvType v) override;
  uint64_t page_bytes() const override { return kv_.page_bytes; }
  plan::PageId allocate_page() override;
  void free_page(plan::PageId page) noexcept override;
  void copy_page(plan::PageId to, plan::PageId from) override;
  plan::Contents page_contents(plan::PageId id) override {
    return plan::Contents::of({page(id), kv_.page_bytes});
  }

  void set_state(const plan::StateShape& shape) override;
  uint64_t state_bytes() const override { return state_bytes_; }
  plan::StateId allocate_state() override;
  void free_state(plan::StateId state) noexcept override;
  void copy_state(plan::StateId to, plan::StateId from) override;
  plan::Contents state_contents(plan::StateId id) override {
    return plan::Contents::of({states_.get(id).data(), state_bytes_});
  }
  std::string numerics_id() const override;

  std::unique_ptr<plan::Executable> prepare(const plan::Plan& plan, const plan::StepLimits& limits) override;

  int32_t n_threads() const { return n_threads_; }
  int32_t n_threads_batch() const { return n_threads_batch_; }

  // For the executable and its drivers.
  const Kernels& kernels() const { return kernels_; }
  ThreadPool& pool() { return pool_; }
  const CpuWeight& weight(plan::WeightId id) const { return weights_[id]; }
  uint8_t* page(plan::PageId id) const { return pages_.get(id).data(); }
  // One layer's part of a sequence's state: S tile by tile (kernels.h), and the convolution's latest inputs
  // [n_inputs][n_channels], oldest first.
  struct LayerState {
    float* s;
    float* inputs;
  };
  LayerState state(plan::StateId id, int32_t layer) const {
    auto* base = reinterpret_cast<float*>(states_.get(id).data());
    return {base + state_layers_[layer].s, base + state_layers_[layer].inputs};
  }
  KvType kv_type_k() const { return kv_k_; }
  KvType kv_type_v() const { return kv_v_; }
  // Bytes from a page's start to K or V of (layer, head).
  uint64_t k_offset(int32_t layer, int32_t head) const {
    return kv_.layers[layer].k + head * kv_.layers[layer].k_head;
  }
  uint64_t v_offset(int32_t layer, int32_t head) const {
    return kv_.layers[layer].v + head * kv_.layers[layer].v_head;
  }

 private:
  void copy(const Mapping& to, const Mapping& from, uint64_t bytes);

  Kernels kernels_;
  int32_t n_threads_, n_threads_batch_;
  ThreadPool pool_;
  std::vector<CpuWeight> weights_;
  std::unique_ptr<Mapping> weight_memory_;
  plan::KvLayout kv_;
  KvType kv_k_ = KvType::kF16, kv_v_ = KvType::kF16;
  Slots pages_;
  struct StateLayer {
    uint64_t s, inputs;  // floats from a state's start
  };
  std::vector<StateLayer> state_layers_;
  uint64_t state_bytes_ = 0;
  Slots states_;
};

}  // namespace moraine::cpu
