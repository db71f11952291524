#include "backend/cpu/backend.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "backend/cpu/executable.h"
#include "base/check.h"
#include "base/cpu_features.h"
#include "base/usable_cores.h"
#include "quant/format.h"

namespace moraine::cpu {

std::vector<std::string> available_isas() {
  std::vector<std::string> isas;
#if defined(MORAINE_X86)
  const CpuFeatures cpu = detect_cpu();
  if (allow_amx()) isas.push_back("amx");
  if (cpu.avx512_vnni) isas.push_back("avx512");
  if (cpu.avx2) isas.push_back("avx2");
#endif
  isas.push_back("scalar");
  return isas;
}

const Kernels& select_kernels(const std::string& isa) {
  const std::vector<std::string> have = available_isas();
  const std::string& want = isa.empty() ? have.front() : isa;
  for (const std::string& name : have) {
    if (name != want) continue;
#if defined(MORAINE_X86)
    if (name == "amx") return amx_kernels();
    if (name == "avx512") return avx512_kernels();
    if (name == "avx2") return avx2_kernels();
#endif
    return scalar_kernels();
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("The instruction set \"{}\" is not available here. This CPU and build run: {}.",
                          isa, fmt::join(have, ", ")));
}

Mapping::Mapping(uint64_t bytes) : size_((bytes + 4095) / 4096 * 4096) {
  if (size_ == 0) size_ = 4096;
  void* p = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    throw Error(ErrorCode::kOutOfMemory,
                fmt::format("The system refused {:.1f} MB of memory: {}. Close other programs, or "
                            "choose a smaller model or context (-c).",
                            size_ / 1e6, std::strerror(errno)));
  if (size_ >= (2u << 20)) madvise(p, size_, MADV_HUGEPAGE);
  data_ = static_cast<uint8_t*>(p);
}

Mapping::~Mapping() { munmap(data_, size_); }

int32_t Slots::allocate(uint64_t bytes) {
  auto memory = std::make_unique<Mapping>(bytes);
  free_.reserve(memory_.size() + 1);
  if (free_.empty()) {
    memory_.push_back(std::move(memory));
    return static_cast<int32_t>(memory_.size()) - 1;
  }
  const int32_t id = free_.back();
  free_.pop_back();
  memory_[id] = std::move(memory);
  return id;
}

void Slots::free(int32_t id) noexcept {
  memory_[id].reset();
  free_.push_back(id);
}

namespace {

uint64_t align64(uint64_t n) { return (n + 63) / 64 * 64; }

}  // namespace

CpuBackend::CpuBackend(const Options& o)
    : kernels_(select_kernels(o.isa)),
      n_threads_(o.n_threads > 0 ? o.n_threads : usable_cores()),
      n_threads_batch_(o.n_threads_batch > 0 ? o.n_threads_batch : n_threads_),
      pool_(std::max(n_threads_, n_threads_batch_)) {
  const Kernels& scalar = scalar_kernels();
  for (int k = 0; k < kNumKvFormats; ++k) {
    if (!kernels_.store_k[k]) kernels_.store_k[k] = scalar.store_k[k];
    if (!kernels_.store_v[k]) kernels_.store_v[k] = scalar.store_v[k];
    for (int v = 0; v < kNumKvFormats; ++v)
      if (!kernels_.attend[k][v]) kernels_.attend[k][v] = scalar.attend[k][v];
  }
}

CpuBackend::~CpuBackend() = default;

std::string CpuBackend::describe() const {
  const std::string batch =
      n_threads_batch_ == n_threads_ ? "" : fmt::format(" ({} for prompts)", n_threads_batch_);
  return fmt::format("CPU ({}), {} thread{}{}", kernels_.isa, n_threads_, n_threads_ == 1 ? "" : "s", batch);
}

uint64_t CpuBackend::weight_bytes_needed(const plan::Weight& w) {
  if (w.role == plan::WeightRole::kVector) return align64(4ull * w.cols * w.rows);
  return align64(dtype_bytes(w.dtype, w.cols) * 8 * ((w.rows + 7) / 8));
}

void CpuBackend::declare_weights(std::vector<plan::Weight> decls) {
  weights_.clear();
  uint64_t total = 0;
  for (const auto& d : decls) {
    if (d.role == plan::WeightRole::kMatrix &&
        (!find_layout(d.dtype) || !kernels_.matmul[static_cast<int>(d.dtype)]))
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("Tensor {} is stored as {}, a format the CPU backend does not run yet.", d.name,
                              info(d.dtype).name));
    total += weight_bytes_needed(d);
  }
  weight_memory_ = std::make_unique<Mapping>(total);
  uint8_t* p = weight_memory_->data();
  for (auto& d : decls) {
    CpuWeight w;
    w.data = p;
    if (d.role == plan::WeightRole::kMatrix) {
      w.layout = find_layout(d.dtype);
      w.group_bytes = static_cast<int64_t>(dtype_bytes(d.dtype, d.cols)) * 8;
      w.n_groups = (d.rows + 7) / 8;
    }
    p += weight_bytes_needed(d);
    w.decl = std::move(d);
    weights_.push_back(std::move(w));
  }
}

void CpuBackend::write_weight(plan::WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) {
  CpuWeight& w = weights_[id];
  if (w.decl.role == plan::WeightRole::kVector) {
    auto* out = reinterpret_cast<float*>(w.data) + int64_t{first_row} * w.decl.cols;
    quant::find(w.decl.dtype)->unpack_blocks(data, int64_t{n_rows} * w.decl.cols, out);
    return;
  }
  MORAINE_CHECK(first_row % kGroupRows == 0 && first_row + n_rows <= w.decl.rows);
  const int64_t row_bytes = w.row_bytes();
  const int64_t n_blocks = w.decl.cols / info(w.decl.dtype).block_len;
  pool_.run((n_rows + kGroupRows - 1) / kGroupRows, [&](int g, int) {
    const uint8_t* rows[kGroupRows];
    for (int r = 0; r < kGroupRows; ++r) {
      const int32_t row = g * kGroupRows + r;
      rows[r] = row < n_rows ? data + row * row_bytes : nullptr;
    }
    w.layout->interleave(rows, n_blocks, w.data + (first_row / kGroupRows + g) * w.group_bytes);
  });
}

void CpuBackend::set_kv(const plan::KvShape& shape, KvType k, KvType v) {
  kv_k_ = k, kv_v_ = v;
  kv_ = plan::lay_out_kv(shape, k, v);
}

// With all threads: a state of a large model is 75 MB of memory not yet touched.
void CpuBackend::copy(const Mapping& to, const Mapping& from, uint64_t bytes) {
  constexpr uint64_t kPiece = 1 << 20;
  pool_.run(static_cast<int>((bytes + kPiece - 1) / kPiece), [&](int i, int) {
    const uint64_t begin = i * kPiece;
    std::memcpy(to.data() + begin, from.data() + begin, std::min(kPiece, bytes - begin));
  });
}

plan::PageId CpuBackend::allocate_page() { return pages_.allocate(kv_.page_bytes); }
void CpuBackend::free_page(plan::PageId page) noexcept { pages_.free(page); }
void CpuBackend::copy_page(plan::PageId to, plan::PageId from) {
  copy(pages_.get(to), pages_.get(from), kv_.page_bytes);
}

// By the numerics contract neither the instruction set nor the threads matter.
std::string CpuBackend::numerics_id() const {
  constexpr int kRevision = 1;  // of the layout of pages and states, and of docs/numerics.md
  return fmt::format("cpu {} k{} v{}", kRevision, static_cast<int>(kv_k_), static_cast<int>(kv_v_));
}

void CpuBackend::set_state(const plan::StateShape& shape) {
  state_layers_.clear();
  uint64_t at = 0;
  const auto take = [&](uint64_t floats) {
    const uint64_t here = at;
    at += (floats + 15) / 16 * 16;
    return here;
  };
  for (const auto& l : shape.layers) {
    StateLayer layer;
    layer.s = take(uint64_t(l.n_heads) * l.head_v * l.head_k);
    layer.inputs = take(uint64_t(l.n_channels) * l.n_inputs);
    state_layers_.push_back(layer);
  }
  state_bytes_ = 4 * at;
}

plan::StateId CpuBackend::allocate_state() { return states_.allocate(state_bytes_); }
void CpuBackend::free_state(plan::StateId state) noexcept { states_.free(state); }
void CpuBackend::copy_state(plan::StateId to, plan::StateId from) {
  copy(states_.get(to), states_.get(from), state_bytes_);
}

std::unique_ptr<plan::Executable> CpuBackend::prepare(const plan::Plan& plan,
                                                      const plan::StepLimits& limits) {
  return std::make_unique<CpuExecutable>(*this, plan, limits);
}

}  // namespace moraine::cpu
