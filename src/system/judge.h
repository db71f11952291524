// Judges a system against what is wanted of it: findings with their arithmetic, what to change, which models
// fit. Pure functions over SystemFacts; reading is facts.h, showing is report.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "system/facts.h"
#include "system/models.h"
#include "system/remedy.h"

namespace moraine::system {

enum class Severity : uint8_t { kOk, kNote, kWarning, kProblem };
const char* severity_name(Severity severity) noexcept;  // "ok", "note", "warning", "problem"

struct Finding {
  Severity severity = Severity::kOk;
  std::string id;                    // "gpu-memory": stable, for scripts
  bool gpu_only = false;             // matters to GPU engines alone, not to a CPU build
  std::string title;                 // a sentence
  std::vector<std::string> details;  // arithmetic and remedies, a sentence each
};

// What the user wants of this machine. All zero: what a machine of its size is good for.
struct Need {
  uint64_t gpu_bytes = 0;                               // --gpu-memory: that the GPU can map so much
  uint64_t model_bytes = 0;                             // weights, cache and work space of the models
  std::string what;                                     // "Qwen3-Coder-Next Q4_K_M with 128,000 tokens"
  std::vector<std::pair<std::string, uint64_t>> parts;  // what model_bytes is the sum of
  std::string serve;                                    // the command that serves it; empty: not a file here
  std::vector<std::string> remarks;                     // sentences: what could not be estimated, and why
};

// Adds a model that is known by name, with a context of n_ctx tokens (0: as long as it was trained for).
void add_model(Need& need, const KnownModel& model, int32_t n_ctx);

// What this program can do, which decides how much a finding matters.
struct Abilities {
  bool gpu = false;
  std::vector<std::string> architectures;
};

struct Suggestion {
  const KnownModel* model = nullptr;
  int32_t n_ctx = 0;
  std::optional<double> gpu_speed, cpu_speed;  // tokens a second; empty: bandwidth not known
  bool runs_here = false;                      // this program has its architecture
};

struct Diagnosis {
  std::vector<Finding> findings;  // in the order of the report
  std::optional<Remedy> remedy;   // how to give the GPU what is wanted; empty: nothing to change
  std::vector<Suggestion> models;
  Severity worst = Severity::kOk;
};

Diagnosis diagnose(const SystemFacts& facts, const Need& need, const Abilities& abilities);

// How much of so much installed memory an integrated GPU should be let map, the desktop left room. Bytes.
struct GpuShare {
  uint64_t accepted = 0, advised = 0, most = 0;
};
GpuShare gpu_share(uint64_t installed_bytes);

// Parts of diagnose(), in its order; judge_gpu.cpp and judge_host.cpp.
void judge_host(const SystemFacts& facts, const Need& need, const Abilities& abilities, Diagnosis& out);
void judge_gpu(const SystemFacts& facts, const Need& need, const Abilities& abilities, Diagnosis& out);
std::vector<Suggestion> suggest_models(const SystemFacts& facts, const Diagnosis& diagnosis,
                                       const Abilities& abilities);
// What an integrated GPU can map at present: the smaller of TTM's limit and GTT. Empty: not known.
std::optional<uint64_t> mappable_memory(const SystemFacts& facts);

// "100 GiB", "62.5 GiB", "512 MiB"; "48.4 GB"; "26,214,400".
std::string gib_text(uint64_t bytes);
std::string gb_text(uint64_t bytes);
std::string count_text(uint64_t n);
// The verb for what a need consists of.
inline const char* takes(const Need& need) { return need.parts.size() > 2 ? "take" : "takes"; }

}  // namespace moraine::system
